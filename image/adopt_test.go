package image

import (
	"slices"
	"strings"
	"testing"

	"gantry/storage"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// adopted is what Adopt takes of an image that is here; its layers are stored as they would be made again.
func adopted(t *testing.T, s *Service, ref string, names ...string) Adopted {
	t.Helper()
	i := resolve(t, s, ref)
	ctx := s.store.Context(t.Context())
	v, err := s.content.manifest(ctx, i.Manifest)
	must(t, err)
	config, err := content.ReadBlob(ctx, s.store.Content(), v.manifest.Config)
	must(t, err)
	a := Adopted{Config: config, Names: names}
	for _, d := range i.Config.RootFS.DiffIDs {
		a.Layers = append(a.Layers, storage.DiffID(d))
	}
	return a
}

func TestAnAdoptedImageIsThatWhichLoadingMakes(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "loaded:1")))
	a := adopted(t, s, "loaded:1", "docker.io/library/adopted:1")
	i, err := s.Adopt(t.Context(), a)
	must(t, err)
	if loaded := resolve(t, s, "loaded:1"); i.ID != loaded.ID || resolve(t, s, "adopted:1").ID != i.ID {
		t.Errorf("adopted as %s, loaded as %s", i.ID, loaded.ID)
	}
	id := digest.FromBytes(a.Config)
	for _, ref := range []string{id.String(), id.Encoded(), id.Encoded()[:12]} {
		if resolve(t, s, ref).ID != i.ID {
			t.Errorf("%s is another image", ref)
		}
	}
	a.Layers = []storage.DiffID{storage.DiffID(digest.FromString("none"))}
	if _, err := s.Adopt(t.Context(), a); !errdefs.IsNotFound(err) {
		t.Errorf("a layer that is not here: %v", err)
	}
}

// The digest that a registry had for an adopted image leads to it, until the image of that digest itself is here.
func TestTheDigestOfARegistryLeadsToAnAdoptedImage(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "example.com/old:1"), small("2", "real:1")))
	real := resolve(t, s, "real:1")
	name := "example.com/a@" + real.ID
	_, err := s.Adopt(t.Context(), adopted(t, s, "example.com/old:1", "example.com/a:1", name))
	must(t, err)
	_, err = s.Remove(t.Context(), "example.com/old:1", RemoveOptions{})
	must(t, err)
	old := resolve(t, s, name)
	i, err := s.Inspect(t.Context(), "example.com/a:1", InspectOptions{})
	must(t, err)
	if i.ID != old.ID || old.ID == real.ID || !slices.Equal(i.RepoDigests, []string{name}) {
		t.Errorf("%s is %s, with the digests %v", name, old.ID, i.RepoDigests)
	}
	must(t, s.Tag(t.Context(), "real:1", "example.com/a", "1"))
	if got := resolve(t, s, name); got.ID != real.ID {
		t.Errorf("%s is %s, not %s", name, got.ID, real.ID)
	}
	list := danglingIDs(t, s)
	if !slices.Contains(list, old.ID) {
		t.Errorf("dangling are %s, without the adopted image", strings.Join(list, " "))
	}
}

func danglingIDs(t *testing.T, s *Service) []string {
	t.Helper()
	all, err := s.List(t.Context(), ListOptions{})
	must(t, err)
	var out []string
	for _, i := range all {
		if len(i.RepoTags) == 0 {
			out = append(out, i.ID)
		}
	}
	return out
}
