package image

import (
	"testing"

	"github.com/containerd/errdefs"
)

func FuzzResolve(f *testing.F) {
	s := open(f)
	load(f, s, build(f, small("1", "a:1")))
	for _, seed := range []string{"a:1", "moby-dangling@sha256:x", "sha256:abcd", "docker.io/library/a@sha256:00", "A", "", "/", "a b", "[::1]:5000/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		_, err := s.Resolve(t.Context(), ref, nil)
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			t.Fatalf("%q: %v", ref, err)
		}
	})
}

func FuzzNewName(f *testing.F) {
	f.Add("a", "b")
	f.Add("x/y:1", "")
	f.Add("a@sha256:0", "!")
	f.Fuzz(func(t *testing.T, repo, tag string) {
		name, err := newName(repo, tag)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			return
		}
		if isDangling(name.String()) {
			t.Fatalf("%q %q is a reserved name", repo, tag)
		}
	})
}
