package image

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"gantry/internal/filter"
	"gantry/internal/testkit/imagetar"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/moby/moby/api/types/container"
	api "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fileIn reads a file of an image as a container sees it.
func fileIn(t testing.TB, s *Service, ref, name string) string {
	t.Helper()
	f, release, err := s.store.ViewRoot(t.Context(), resolve(t, s, ref).Chain)
	must(t, err)
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name))
	must(t, err, release(t.Context()))
	return string(data)
}

func save(t testing.TB, s *Service, refs ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	must(t, s.Save(t.Context(), &buf, refs, nil))
	return buf.Bytes()
}

// tags lists the names of all images; "<none>" for a dangling one.
func tags(t testing.TB, s *Service) string {
	t.Helper()
	list, err := s.List(t.Context(), ListOptions{All: true})
	must(t, err)
	var out []string
	for _, i := range list {
		if len(i.RepoTags) == 0 {
			out = append(out, "<none>")
		}
		out = append(out, i.RepoTags...)
	}
	return strings.Join(out, " ")
}

func responses(list []api.DeleteResponse) string {
	var out []string
	for _, r := range list {
		if r.Untagged != "" {
			out = append(out, "untagged "+r.Untagged)
		}
		if r.Deleted != "" {
			out = append(out, "deleted")
		}
	}
	return strings.Join(out, ", ")
}

func TestSaveAndLoadElsewhere(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "a:1", "a:2"), small("2", "b:1")))
	id := resolve(t, s, "a:1").ID
	data := save(t, s, "a", "b:1")
	other := open(t)
	if got := load(t, other, data); got != "Loaded image: a:1\nLoaded image: a:2\nLoaded image: b:1\n" {
		t.Errorf("messages %q", got)
	}
	if got := resolve(t, other, "a:2"); got.ID != id || fileIn(t, other, "a:2", "file") != "1" {
		t.Errorf("%s is not %s", got.ID, id)
	}
	if !bytes.Equal(data, save(t, other, "a", "b:1")) {
		t.Error("saved again, the archive is another")
	}
	// by ID there is no name to save
	third := open(t)
	if got := load(t, third, save(t, s, id)); got != "Loaded image ID: "+id+"\n" {
		t.Errorf("messages %q", got)
	}
	if tags(t, third) != "<none>" {
		t.Error(tags(t, third))
	}
}

func TestSavedImageIsADockerSaveArchive(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "a:1")))
	// without its index, an archive is what older versions write
	var out bytes.Buffer
	must(t, withoutFiles(&out, save(t, s, "a:1"), "index.json", "oci-layout"))
	other := open(t)
	load(t, other, out.Bytes())
	if fileIn(t, other, "a:1", "file") != "1" {
		t.Error("content differs")
	}
}

func TestLoadCompressed(t *testing.T) {
	plain := build(t, small("1", "a:1"))
	for name, pack := range map[string]func([]byte) []byte{"gzip": gzipped, "zstd": zstded} {
		s := open(t)
		load(t, s, pack(plain))
		if fileIn(t, s, "a:1", "file") != "1" {
			t.Error(name)
		}
	}
}

func gzipped(data []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, _ = z.Write(data)
	_ = z.Close()
	return buf.Bytes()
}

func zstded(data []byte) []byte {
	z, _ := zstd.NewWriter(nil)
	return z.EncodeAll(data, nil)
}

func TestNameThatMovesLeavesADanglingImage(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "a:1")))
	old := resolve(t, s, "a:1").ID
	load(t, s, build(t, small("2", "a:1")))
	if got := tags(t, s); got != "a:1 <none>" && got != "<none> a:1" {
		t.Errorf("images: %s", got)
	}
	if resolve(t, s, old).ID != old {
		t.Error("the old image is not found by its ID")
	}
	must(t, s.Tag(t.Context(), old, "back", ""))
	if got := tags(t, s); strings.Contains(got, "none") {
		t.Errorf("still dangling: %s", got)
	}
}

func TestTagErrors(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "a:1")))
	if err := s.Tag(t.Context(), "nope", "b", ""); !errdefs.IsNotFound(err) || err.Error() != "No such image: nope:latest" {
		t.Error(err)
	}
	for repo, tag := range map[string]string{"UPPER": "", "a": "!", "a@" + resolve(t, s, "a:1").ID: ""} {
		if err := s.Tag(t.Context(), "a:1", repo, tag); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s %s: %v", repo, tag, err)
		}
	}
}

func TestRemove(t *testing.T) {
	s := open(t)
	remove := func(ref string, o RemoveOptions) string {
		list, err := s.Remove(t.Context(), ref, o)
		if err != nil {
			if !errdefs.IsConflict(err) {
				t.Errorf("class of %v", err)
			}
			return err.Error()
		}
		return responses(list)
	}
	load(t, s, build(t, small("1", "a:1", "a:2", "b:1")))
	id := resolve(t, s, "a:1").ID
	short := id[7:19]
	expect := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	expect(remove(short, RemoveOptions{}), "conflict: unable to delete "+short+" (must be forced) - image is referenced in multiple repositories")
	expect(remove("b:1", RemoveOptions{}), "untagged b:1")
	release, err := s.Hold(t.Context(), id, Holder{Kind: "container", ID: strings.Repeat("c", 64), Name: "web"})
	must(t, err)
	expect(remove("a:2", RemoveOptions{}), "untagged a:2")
	expect(remove("a:1", RemoveOptions{}), "conflict: unable to delete a:1 (must be forced) - container cccccccccccc is using its referenced image "+short)
	expect(remove(short, RemoveOptions{}), "conflict: unable to delete "+short+" (must be forced) - image is being used by stopped container cccccccccccc")
	running, err := s.Hold(t.Context(), id, Holder{Kind: "running container", ID: strings.Repeat("c", 64), Name: "web"})
	must(t, err)
	expect(remove(short, RemoveOptions{Force: true}), "conflict: unable to delete "+short+" (cannot be forced) - image is being used by running container cccccccccccc")
	expect(remove("a:1", RemoveOptions{Force: true}), "untagged a:1")
	expect(tags(t, s), "<none>")
	must(t, running(t.Context()), release(t.Context()))
	expect(remove(short, RemoveOptions{}), "deleted")
	expect(tags(t, s), "")
	must(t, s.store.Collect(t.Context()))
	if n, err := s.store.Size(t.Context()); n != 0 || err != nil {
		t.Errorf("%d bytes are left, %v", n, err)
	}
	if _, err := s.Remove(t.Context(), "a:1", RemoveOptions{}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func TestRemoveKeepsWhatOthersShare(t *testing.T) {
	s := open(t)
	base := imagetar.Rootfs{"base": {Data: "base"}}
	load(t, s, build(t,
		imagetar.Image{Tags: []string{"one:1"}, Layers: []imagetar.Rootfs{base, {"x": {Data: "1"}}}},
		imagetar.Image{Tags: []string{"two:1"}, Layers: []imagetar.Rootfs{base, {"x": {Data: "2"}}}}))
	_, err := s.Remove(t.Context(), "one:1", RemoveOptions{})
	must(t, err, s.store.Collect(t.Context()))
	if fileIn(t, s, "two:1", "base") != "base" {
		t.Error("the shared layer is damaged")
	}
	save(t, s, "two:1")
}

func TestPrune(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "a:1"), small("2", "b:1"), small("4", "held:1")))
	load(t, s, build(t, small("3", "a:1"))) // the first is dangling now
	_, err := s.Hold(t.Context(), resolve(t, s, "held:1").ID, Holder{Kind: "container", ID: "c"})
	must(t, err)
	prune := func(f filter.Args) (string, uint64) {
		list, n, err := s.Prune(t.Context(), f)
		must(t, err)
		return responses(list), n
	}
	if got, n := prune(nil); got != "deleted" || n == 0 {
		t.Errorf("dangling: %s, %d bytes", got, n)
	}
	if got, n := prune(nil); got != "" || n != 0 {
		t.Errorf("again: %s, %d bytes", got, n)
	}
	if got, _ := prune(filter.Args{"dangling": {"false"}, "label": {"nope"}}); got != "" {
		t.Errorf("label: %s", got)
	}
	if got, _ := prune(filter.Args{"dangling": {"false"}, "until": {"2000-01-01"}}); got != "" {
		t.Errorf("until: %s", got)
	}
	if prune(filter.Args{"dangling": {"false"}}); tags(t, s) != "held:1" {
		t.Errorf("left: %s", tags(t, s))
	}
	if _, _, err := s.Prune(t.Context(), filter.Args{"colour": {"red"}}); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

func TestListFilters(t *testing.T) {
	s := open(t)
	labelled := small("2", "b:1")
	labelled.Config.Labels = map[string]string{"team": "x"}
	load(t, s, build(t, small("1", "example.com/a/b:1"), labelled))
	_, err := s.Import(t.Context(), bytes.NewReader(must1(imagetar.Layer(imagetar.Rootfs{"f": {Data: "new"}}))), ImportOptions{Repo: "new"})
	must(t, err)
	for _, c := range []struct {
		f    filter.Args
		want int
	}{
		{nil, 3},
		{filter.Args{"reference": {"example.com/a/b"}}, 1},
		{filter.Args{"reference": {"*:1"}}, 1},
		{filter.Args{"reference": {"b", "new:*"}}, 2},
		{filter.Args{"label": {"team=x"}}, 1},
		{filter.Args{"label": {"team=y"}}, 0},
		{filter.Args{"label!": {"team"}}, 2},
		{filter.Args{"before": {"new"}}, 2},
		{filter.Args{"since": {"b:1"}}, 1},
		{filter.Args{"dangling": {"true"}}, 0},
		{filter.Args{"dangling": {"false"}}, 3},
		{filter.Args{"until": {"1h"}}, 2},
	} {
		list, err := s.List(t.Context(), ListOptions{Filters: c.f})
		if err != nil || len(list) != c.want {
			t.Errorf("%v: %d images, %v", c.f, len(list), err)
		}
	}
	for _, f := range []filter.Args{{"colour": {"red"}}, {"dangling": {"maybe"}}, {"reference": {"["}}, {"until": {"x"}}} {
		if _, err := s.List(t.Context(), ListOptions{Filters: f}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", f, err)
		}
	}
	if _, err := s.List(t.Context(), ListOptions{Filters: filter.Args{"before": {"nope"}}}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestImport(t *testing.T) {
	plain := must1(imagetar.Layer(imagetar.Rootfs{"f": {Data: "x"}}))
	for name, data := range map[string][]byte{"plain": plain, "gzip": gzipped(plain), "zstd": zstded(plain)} {
		s := open(t)
		id, err := s.Import(t.Context(), bytes.NewReader(data), ImportOptions{
			Repo: "imported", Tag: "v1", Message: "why", Changes: []string{`CMD ["x"]`, "ENV A=1", "EXPOSE 80"},
			Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"},
		})
		must(t, err)
		in, err := s.Inspect(t.Context(), "imported:v1", InspectOptions{})
		must(t, err)
		if in.ID != id || in.Comment != "why" || in.Config.Cmd[0] != "x" || in.Config.Env[0] != "A=1" || in.Architecture != "arm64" {
			t.Errorf("%s: %+v %+v", name, in, in.Config)
		}
		if _, ok := in.Config.ExposedPorts["80/tcp"]; !ok || fileIn(t, s, "imported:v1", "f") != "x" {
			t.Errorf("%s: %+v", name, in.Config)
		}
	}
	s := open(t)
	_, err := s.Import(t.Context(), bytes.NewReader(plain), ImportOptions{Changes: []string{"RUN x"}})
	if !errdefs.IsInvalidArgument(err) || tags(t, s) != "" {
		t.Errorf("bad change: %v", err)
	}
	if _, err := s.Import(t.Context(), strings.NewReader("this is not a tar, whatever it says"), ImportOptions{Repo: "bad"}); err == nil || tags(t, s) != "" {
		t.Errorf("not a tar: %v", err)
	}
	id, err := s.Import(t.Context(), bytes.NewReader(plain), ImportOptions{})
	if err != nil || tags(t, s) != "<none>" || resolve(t, s, id).ID != id {
		t.Errorf("without a name: %v", err)
	}
}

func TestCommit(t *testing.T) {
	s := open(t)
	load(t, s, build(t, small("1", "a:1")))
	base := resolve(t, s, "a:1")
	layer := must1(imagetar.Layer(imagetar.Rootfs{"added": {Data: "2"}}))
	id, err := s.Commit(t.Context(), CommitOptions{
		ParentID: base.ID, Repo: "b", Author: "me", Message: "msg", Config: &container.Config{Cmd: []string{"new", "cmd"}},
		Layer: bytes.NewReader(layer),
	})
	must(t, err)
	if fileIn(t, s, "b", "file") != "1" || fileIn(t, s, "b", "added") != "2" {
		t.Error("content")
	}
	in, err := s.Inspect(t.Context(), id, InspectOptions{})
	must(t, err)
	if in.Author != "me" || in.Comment != "msg" || len(in.RootFS.Layers) != 2 || in.Config.Cmd[0] != "new" {
		t.Errorf("%+v", in)
	}
	h, err := s.History(t.Context(), "b", nil)
	must(t, err)
	if len(h) != 2 || h[0].ID != id || h[0].CreatedBy != "new cmd" || h[0].Comment != "msg" || h[0].Tags[0] != "b:latest" || h[1].ID != "<missing>" || h[0].Size == 0 {
		t.Errorf("%+v", h)
	}
	empty, err := s.Commit(t.Context(), CommitOptions{ParentID: base.ID, Layer: bytes.NewReader(make([]byte, 1024))})
	must(t, err)
	if got := resolve(t, s, empty); len(got.Config.RootFS.DiffIDs) != 1 || !got.Config.History[1].EmptyLayer {
		t.Errorf("%+v", got.Config)
	}
	if _, err := s.Commit(t.Context(), CommitOptions{ParentID: "sha256:" + strings.Repeat("0", 64), Layer: bytes.NewReader(layer)}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func TestDiskUsageCountsSharedPartsOnce(t *testing.T) {
	s := open(t)
	base := imagetar.Rootfs{"base": {Data: strings.Repeat("x", 1<<20)}}
	load(t, s, build(t,
		imagetar.Image{Tags: []string{"one:1"}, Layers: []imagetar.Rootfs{base, {"x": {Data: "1"}}}},
		imagetar.Image{Tags: []string{"two:1"}, Layers: []imagetar.Rootfs{base, {"x": {Data: "2"}}}}))
	_, err := s.Hold(t.Context(), resolve(t, s, "one:1").ID, Holder{Kind: "container", ID: "c"})
	must(t, err)
	u, err := s.DiskUsage(t.Context(), true)
	must(t, err)
	if u.TotalCount != 2 || u.ActiveCount != 1 || u.TotalSize < 2<<20 || u.TotalSize > 3<<20 || u.Reclaimable > 1<<20 || u.Reclaimable <= 0 {
		t.Errorf("%+v", u)
	}
	if len(u.Items) != 2 || u.Items[0].SharedSize < 2<<20 {
		t.Errorf("%+v", u.Items)
	}
}

func TestStaysAfterReopen(t *testing.T) {
	root := t.TempDir()
	s := openAt(t, root)
	load(t, s, build(t, small("1", "a:1")))
	must(t, s.store.Close(context.Background()))
	s = openAt(t, root)
	must(t, s.store.Collect(t.Context()))
	if fileIn(t, s, "a:1", "file") != "1" {
		t.Error("content")
	}
	save(t, s, "a:1")
}
