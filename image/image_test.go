package image

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"gantry/events"
	"gantry/internal/filter"
	"gantry/internal/testkit/imagetar"
	"gantry/storage"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func open(t testing.TB) *Service {
	t.Helper()
	return openAt(t, t.TempDir())
}

func openAt(t testing.TB, root string) *Service {
	t.Helper()
	t.Setenv("DOCKER_DRIVER", "")
	st, err := storage.Open(t.Context(), storage.Config{Root: root})
	must(t, err)
	t.Cleanup(func() { must(t, st.Close(context.Background())) })
	j, err := events.Open(t.Context(), events.Config{})
	must(t, err)
	s, err := Open(t.Context(), Config{Storage: st, Events: j})
	must(t, err)
	return s
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// load loads an archive and returns the messages.
func load(t testing.TB, s *Service, data []byte) string {
	t.Helper()
	var out strings.Builder
	must(t, s.Load(t.Context(), bytes.NewReader(data), nil, func(m jsonstream.Message) { out.WriteString(m.Stream) }))
	return out.String()
}

func build(t testing.TB, images ...imagetar.Image) []byte {
	t.Helper()
	data, err := imagetar.Build(images...)
	must(t, err)
	return data
}

// small is an image of one file.
func small(content string, tags ...string) imagetar.Image {
	return imagetar.Image{Tags: tags, Layers: []imagetar.Rootfs{{"file": {Data: content}}}}
}

func resolve(t testing.TB, s *Service, ref string) *Image {
	t.Helper()
	i, err := s.Resolve(t.Context(), ref, nil)
	must(t, err)
	return i
}

func TestLoadBusyboxAndResolveIt(t *testing.T) {
	s := open(t)
	if got := load(t, s, imagetar.Busybox(t)); got != "Loaded image: busybox:latest\n" {
		t.Errorf("messages %q", got)
	}
	i := resolve(t, s, "busybox")
	if i.Name != "busybox:latest" || i.Config.Config.Cmd[0] != "sh" || i.Platform.OS != "linux" {
		t.Errorf("%+v", i)
	}
	must(t, s.store.CreateRW(t.Context(), "c1", i.Chain, nil))
	for _, ref := range []string{"busybox:latest", "docker.io/library/busybox", i.ID, i.ID[7:19], i.ID[:19], "busybox@" + i.ID, "busybox:latest@" + i.ID} {
		other, err := s.Resolve(t.Context(), ref, nil)
		if err != nil || other.ID != i.ID {
			t.Errorf("%s: %v", ref, err)
		}
	}
	i.Config.Config.Cmd[0] = "changed"
	if resolve(t, s, "busybox").Config.Config.Cmd[0] != "sh" {
		t.Error("callers share the config")
	}
}

func TestResolveErrorsAreDockers(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "a:1")))
	id := resolve(t, s, "a:1").ID
	for ref, want := range map[string]string{
		"nope":                     "No such image: nope:latest",
		"a":                        "No such image: a:latest",
		"abcdef123456":             "No such image: abcdef123456:latest",
		"other@" + id:              "No such image: other@" + id,
		"example.com/x/y:z":        "No such image: example.com/x/y:z",
		strings.Repeat("0", 64):    "No such image: sha256:" + strings.Repeat("0", 64),
		"moby-dangling@sha256:abc": "No such image: moby-dangling@sha256:abc",
	} {
		_, err := s.Resolve(t.Context(), ref, nil)
		if !errdefs.IsNotFound(err) || err.Error() != want {
			t.Errorf("%s: %v", ref, err)
		}
	}
	_, err := s.Resolve(t.Context(), "UPPER", nil)
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "must be lowercase") {
		t.Errorf("UPPER: %v", err)
	}
	_, err = s.Resolve(t.Context(), "a:1", &ocispec.Platform{OS: "linux", Architecture: "arm64"})
	if !errdefs.IsNotFound(err) || err.Error() != "image with reference a:1 was found but does not provide the specified platform (linux/arm64)" {
		t.Errorf("platform: %v", err)
	}
}

func TestListAndInspect(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "a:1", "a:2", "b:1"), small("2", "c:1")))
	list, err := s.List(t.Context(), ListOptions{Manifests: true})
	must(t, err)
	if len(list) != 2 {
		t.Fatalf("%d images", len(list))
	}
	for _, i := range list {
		if i.Size == 0 || i.SharedSize != -1 || len(i.Manifests) != 1 || !i.Manifests[0].Available {
			t.Errorf("%+v", i)
		}
	}
	list, err = s.List(t.Context(), ListOptions{Filters: filter.Args{"reference": {"a"}}})
	must(t, err)
	if len(list) != 1 || len(list[0].RepoTags) != 3 || len(list[0].RepoDigests) != 2 {
		t.Errorf("%+v", list)
	}
	in, err := s.Inspect(t.Context(), "b:1", InspectOptions{Manifests: true})
	must(t, err)
	if in.ID != resolve(t, s, "a:1").ID || len(in.RootFS.Layers) != 1 || in.GraphDriver.Name != "overlayfs" || in.Architecture != "amd64" {
		t.Errorf("%+v", in)
	}
	if n, err := s.Count(t.Context()); n != 2 || err != nil {
		t.Errorf("count %d %v", n, err)
	}
}

func BenchmarkResolve(b *testing.B) {
	s := open(b)
	load(b, s, imagetar.Busybox(b))
	for b.Loop() {
		resolve(b, s, "busybox")
	}
}
