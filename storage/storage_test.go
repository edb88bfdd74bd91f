package storage

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gantry/internal/testkit/imagetar"

	"github.com/containerd/errdefs"
	"github.com/moby/go-archive"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// The conformance suite: every driver passes all of it.

var drivers = []string{"overlayfs", "native"}

func open(t testing.TB, root, driver string) *Service {
	t.Helper()
	t.Setenv("DOCKER_DRIVER", "")
	s, err := Open(t.Context(), Config{Root: root, Driver: driver})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func onEachDriver(t *testing.T, test func(t *testing.T, s *Service)) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) { test(t, open(t, t.TempDir(), d)) })
	}
}

func layer(t testing.TB, files imagetar.Rootfs) ([]byte, DiffID) {
	t.Helper()
	data, err := imagetar.Layer(files)
	if err != nil {
		t.Fatal(err)
	}
	return data, DiffID(digest.FromBytes(data))
}

// unpack makes a chain of the layers and keeps it until the test ends.
func unpack(t testing.TB, s *Service, layers ...imagetar.Rootfs) ChainID {
	t.Helper()
	ctx, done, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = done(context.Background()) })
	var chain ChainID
	for _, files := range layers {
		data, id := layer(t, files)
		if chain, err = s.Unpack(ctx, chain, id, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	return chain
}

func createRW(t testing.TB, s *Service, id string, chain ChainID) {
	t.Helper()
	if err := s.CreateRW(t.Context(), id, chain, nil); err != nil {
		t.Fatal(err)
	}
}

// inRoot calls fn with a path through which the container's root can be used.
func inRoot(t testing.TB, s *Service, id string, fn func(root string)) {
	t.Helper()
	f, err := s.Root(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fn(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func dir(perm os.FileMode) imagetar.File { return imagetar.File{Mode: os.ModeDir | perm} }

func TestRootShowsTheLayersStacked(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		chain := unpack(t, s,
			imagetar.Rootfs{"a": {Data: "1"}, "b": {Data: "1"}, "d/x": {Data: "1"}, "d/y": {Data: "1"}, "o/old": {Data: "1"}},
			imagetar.Rootfs{"a": {Data: "22"}, ".wh.b": {}, "d/.wh.x": {}, "o/.wh..wh..opq": {}, "o/new": {Data: "2"}})
		createRW(t, s, "c1", chain)
		inRoot(t, s, "c1", func(root string) {
			for name, want := range map[string]string{"a": "22", "d/y": "1", "o/new": "2"} {
				if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
					t.Errorf("%s: %q, %v", name, got, err)
				}
			}
			for _, name := range []string{"b", "d/x", "o/old"} {
				if _, err := os.Lstat(filepath.Join(root, name)); !os.IsNotExist(err) {
					t.Errorf("%s is there: %v", name, err)
				}
			}
			for _, p := range mountPoints {
				if _, err := os.Lstat(filepath.Join(root, p.name)); err != nil {
					t.Error(err)
				}
			}
		})
	})
}

func TestContainersDoNotSeeEachOther(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		chain := unpack(t, s, imagetar.Rootfs{"a": {Data: "1"}})
		createRW(t, s, "c1", chain)
		createRW(t, s, "c2", chain)
		inRoot(t, s, "c1", func(root string) { must(t, os.WriteFile(root+"/a", []byte("mine"), 0o644)) })
		inRoot(t, s, "c2", func(root string) {
			if got, _ := os.ReadFile(root + "/a"); string(got) != "1" {
				t.Errorf("got %q", got)
			}
		})
	})
}

func TestChangesAndDiff(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		chain := unpack(t, s, imagetar.Rootfs{
			"keep/same": {Data: "1"}, "keep/edit": {Data: "1"}, "gone": {Data: "1"}, "goner/x": {Data: "1"},
			"again/a": {Data: "1"}, "again/b": {Data: "1"}, "turn": {Data: "1"}, "attr": dir(0o755), "turn2/x": {Data: "1"},
		})
		createRW(t, s, "c1", chain)
		inRoot(t, s, "c1", func(root string) {
			p := func(name string) string { return filepath.Join(root, name) }
			must(t,
				os.WriteFile(p("keep/edit"), []byte("changed"), 0o644),
				os.Remove(p("gone")), os.RemoveAll(p("goner")),
				os.RemoveAll(p("again")), os.Mkdir(p("again"), 0o755), os.WriteFile(p("again/b"), []byte("new"), 0o600),
				os.Remove(p("turn")), os.Mkdir(p("turn"), 0o755), os.WriteFile(p("turn/in"), nil, 0o644),
				os.RemoveAll(p("turn2")), os.WriteFile(p("turn2"), nil, 0o644),
				os.Chmod(p("attr"), 0o700),
				os.Mkdir(p("new"), 0o755), os.WriteFile(p("new/file"), []byte("hello"), 0o640),
				os.Link(p("new/file"), p("new/link")), os.Symlink("../gone", p("new/sym")), unix.Mkfifo(p("new/fifo"), 0o600),
				unix.Lsetxattr(p("new/file"), "user.note", []byte("x"), 0),
			)
			// opened for writing and not written: copied up, not changed
			f, err := os.OpenFile(p("keep/same"), os.O_RDWR, 0)
			must(t, err, f.Close())
		})
		got, err := s.Changes(t.Context(), "c1")
		must(t, err)
		want := []string{"C /again", "D /again/a", "C /again/b", "C /attr", "D /gone", "D /goner", "C /keep", "C /keep/edit",
			"A /new", "A /new/fifo", "A /new/file", "A /new/link", "A /new/sym", "C /turn", "A /turn/in", "C /turn2"}
		var lines []string
		for _, c := range got {
			lines = append(lines, c.String())
		}
		if !slices.Equal(lines, want) {
			t.Errorf("changes\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
		testDiff(t, s, chain)
	})
}

// testDiff commits c1 and checks that a container on the new chain looks as c1 does.
func testDiff(t *testing.T, s *Service, chain ChainID) {
	t.Helper()
	r, err := s.Diff(t.Context(), "c1")
	must(t, err)
	data, err := io.ReadAll(r)
	must(t, err, r.Close())
	headers := map[string]*tar.Header{}
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		headers[h.Name] = h
	}
	if headers[".wh.gone"] == nil || headers["again/.wh.a"] == nil || headers["keep/same"] != nil || headers["etc/hosts"] != nil {
		t.Errorf("entries: %v", headers)
	}
	if h := headers["new/link"]; h == nil || h.Typeflag != tar.TypeLink || h.Linkname != "new/file" {
		t.Errorf("hard link: %+v", h)
	}
	if h := headers["new/file"]; h == nil || h.PAXRecords["SCHILY.xattr.user.note"] != "x" {
		t.Errorf("attributes: %+v", h)
	}
	ctx, done, err := s.Begin(t.Context())
	must(t, err)
	defer done(t.Context())
	next, err := s.Unpack(ctx, chain, DiffID(digest.FromBytes(data)), bytes.NewReader(data))
	must(t, err)
	createRW(t, s, "c2", next)
	inRoot(t, s, "c1", func(a string) {
		inRoot(t, s, "c2", func(b string) {
			changes, err := archive.ChangesDirs(b+"/", a+"/")
			must(t, err)
			for _, c := range changes {
				if isMountPoint(c.Path) {
					continue // of two init layers, made at different times
				}
				t.Errorf("the committed layer differs: %s", c.String())
			}
		})
	})
}

func isMountPoint(name string) bool {
	return slices.ContainsFunc(mountPoints[:], func(p mountPoint) bool { return strings.HasPrefix(p.name, name) })
}

func TestFreshContainerHasNoChanges(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		for n, chain := range []ChainID{"", unpack(t, s, imagetar.Rootfs{"etc/hosts": {Data: "x"}})} {
			id := fmt.Sprint("c", n)
			createRW(t, s, id, chain)
			changes, err := s.Changes(t.Context(), id)
			if err != nil || len(changes) != 0 {
				t.Errorf("%v %v", changes, err)
			}
		}
	})
}

func TestUsageIsOfTheContainerAlone(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		chain := unpack(t, s, imagetar.Rootfs{"big": {Data: strings.Repeat("x", 1<<20)}})
		createRW(t, s, "c1", chain)
		inRoot(t, s, "c1", func(root string) { must(t, os.WriteFile(root+"/f", make([]byte, 100<<10), 0o644)) })
		bytes, inodes, err := s.Usage(t.Context(), "c1")
		if err != nil || bytes < 100<<10 || bytes > 200<<10 || inodes < 1 || inodes > 3 {
			t.Errorf("usage %d bytes %d inodes %v", bytes, inodes, err)
		}
		if n, err := s.ChainUsage(t.Context(), chain); err != nil || n < 1<<20 || n > 2<<20 {
			t.Errorf("chain usage %d %v", n, err)
		}
	})
}

func TestViewIsReadOnly(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		chain := unpack(t, s, imagetar.Rootfs{"a": {Data: "1"}}, imagetar.Rootfs{"b": {Data: "1"}})
		f, release, err := s.ViewRoot(t.Context(), chain)
		must(t, err)
		root := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		if _, err := os.Stat(root + "/b"); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(root+"/c", nil, 0o644); err == nil {
			t.Error("write succeeded")
		}
		must(t, release(t.Context()))
	})
}

func TestCollectKeepsWhatIsReferencedAndNothingElse(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		ctx, done, err := s.Begin(t.Context())
		must(t, err)
		data, id := layer(t, imagetar.Rootfs{"a": {Data: "1"}})
		chain, err := s.Unpack(ctx, "", id, bytes.NewReader(data))
		must(t, err, s.MakeReady(ctx, chain), s.Collect(t.Context()))
		if has, err := s.HasChain(ctx, chain); !has || err != nil {
			t.Fatalf("a chain of an operation in flight is gone (%v)", err)
		}
		if _, err := s.snapshots.Stat(s.Context(ctx), string(chain)+"-init"); err != nil {
			t.Fatalf("the init layer does not live as long as its chain: %v", err)
		}
		createRW(t, s, "c1", chain)
		must(t, done(t.Context()), s.Collect(t.Context()))
		inRoot(t, s, "c1", func(root string) {
			if _, err := os.Stat(root + "/a"); err != nil {
				t.Error(err)
			}
		})
		must(t, s.RemoveRW(t.Context(), "c1"), s.Collect(t.Context()))
		if left := directories(t, s); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
		if err := s.CreateRW(t.Context(), "c2", chain, nil); !errdefs.IsNotFound(err) {
			t.Errorf("a container on a collected chain: %v", err)
		}
	})
}

// directories lists the driver's snapshot directories.
func directories(t testing.TB, s *Service) []string {
	t.Helper()
	base := filepath.Join(filepath.Dir(filepath.Dir(s.bolt.Path())), "io.containerd.snapshotter.v1."+s.name, "snapshots")
	entries, err := os.ReadDir(base)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestErrors(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		chain := unpack(t, s, imagetar.Rootfs{"a": {Data: "1"}})
		createRW(t, s, "c1", chain)
		if err := s.CreateRW(t.Context(), "c1", chain, nil); !errdefs.IsAlreadyExists(err) {
			t.Errorf("second rw layer: %v", err)
		}
		if err := s.CreateRW(t.Context(), "c2", "sha256:nope", nil); !errdefs.IsNotFound(err) {
			t.Errorf("unknown chain: %v", err)
		}
		if err := s.CreateRW(t.Context(), "c2", chain, map[string]string{"size": "1G"}); !errdefs.IsNotImplemented(err) {
			t.Errorf("size: %v", err)
		}
		if err := s.CreateRW(t.Context(), "c2", chain, map[string]string{"colour": "red"}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("unknown option: %v", err)
		}
		for name, err := range map[string]error{
			"Root":    second(s.Root(t.Context(), "nope")),
			"Mounts":  second(s.Mounts(t.Context(), "nope")),
			"Changes": second(s.Changes(t.Context(), "nope")),
			"Diff":    second(s.Diff(t.Context(), "nope")),
		} {
			if !errdefs.IsNotFound(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := s.Usage(t.Context(), "nope"); !errdefs.IsNotFound(err) {
			t.Errorf("Usage: %v", err)
		}
		must(t, s.RemoveRW(t.Context(), "nope"))
		if ids, err := s.RWLayers(t.Context()); err != nil || !slices.Equal(ids, []string{"c1"}) {
			t.Errorf("rw layers %v, %v", ids, err)
		}
		if list, err := s.Leases().List(s.Context(t.Context())); err != nil || len(list) != 2 { // c1 and the chain's operation
			t.Errorf("leases %v, %v", list, err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestLayerThatIsNotItsDiffIDLeavesNothing(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		data, _ := layer(t, imagetar.Rootfs{"a": {Data: "1"}})
		_, other := layer(t, imagetar.Rootfs{"a": {Data: "2"}})
		err := s.During(t.Context(), func(ctx context.Context) error {
			_, err := s.Unpack(ctx, "", other, bytes.NewReader(data))
			return err
		})
		if !errdefs.IsDataLoss(err) {
			t.Fatalf("got %v", err)
		}
		must(t, s.Collect(t.Context()))
		if left := directories(t, s); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

func TestStaysAfterReopen(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			root := t.TempDir()
			s := open(t, root, d)
			createRW(t, s, "c1", unpack(t, s, imagetar.Rootfs{"a": {Data: "1"}}))
			inRoot(t, s, "c1", func(root string) { must(t, os.WriteFile(root+"/b", []byte("2"), 0o644)) })
			must(t, s.Close(t.Context()))
			s = open(t, root, "") // the data root knows its driver
			if name, _ := s.Driver(); name != d {
				t.Errorf("driver %s", name)
			}
			must(t, s.Collect(t.Context()))
			inRoot(t, s, "c1", func(root string) {
				if got, err := os.ReadFile(root + "/b"); err != nil || string(got) != "2" {
					t.Error(err)
				}
			})
		})
	}
}

func TestDriverNames(t *testing.T) {
	for name, want := range map[string]string{"overlay2": "overlayfs", "vfs": "native", "": "overlayfs"} {
		if got, _ := open(t, t.TempDir(), name).Driver(); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	if _, err := Open(t.Context(), Config{Root: t.TempDir(), Driver: "zfs"}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "overlayfs") {
		t.Errorf("zfs: %v", err)
	}
	t.Setenv("DOCKER_DRIVER", "vfs")
	s, err := Open(t.Context(), Config{Root: t.TempDir(), Driver: "overlay2"})
	must(t, err)
	defer s.Close(context.Background())
	if name, _ := s.Driver(); name != "native" {
		t.Errorf("DOCKER_DRIVER is not heard: %s", name)
	}
}

func TestManyLayers(t *testing.T) {
	s := open(t, t.TempDir(), "overlayfs")
	var layers []imagetar.Rootfs
	for i := range 120 {
		layers = append(layers, imagetar.Rootfs{fmt.Sprintf("f%d", i): {Data: "x"}})
	}
	createRW(t, s, "c1", unpack(t, s, layers...))
	inRoot(t, s, "c1", func(root string) {
		names, err := filepath.Glob(root + "/f*")
		if err != nil || len(names) != 120 {
			t.Errorf("%d files, %v", len(names), err)
		}
	})
}

func BenchmarkCreateRemoveRW(b *testing.B) {
	s := open(b, b.TempDir(), "overlayfs")
	chain := unpack(b, s, imagetar.Rootfs{"a": {Data: "1"}})
	must(b, s.MakeReady(b.Context(), chain))
	made := 0
	b.Run("create", func(b *testing.B) {
		for range b.N {
			made++
			createRW(b, s, fmt.Sprint("c", made), chain)
		}
	})
	b.Run("createremove", func(b *testing.B) {
		for i := range b.N {
			createRW(b, s, fmt.Sprint("r", i), chain)
			must(b, s.RemoveRW(b.Context(), fmt.Sprint("r", i)))
		}
	})
	b.Run("root", func(b *testing.B) {
		createRW(b, s, "root", chain)
		for range b.N {
			f, err := s.Root(b.Context(), "root")
			must(b, err)
			f.Close()
		}
		must(b, s.RemoveRW(b.Context(), "root"))
	})
}

func BenchmarkOpen(b *testing.B) {
	b.Run("empty", func(b *testing.B) {
		for range b.N {
			s, err := Open(b.Context(), Config{Root: b.TempDir(), Driver: "overlayfs"})
			must(b, err)
			b.StopTimer()
			must(b, s.Close(b.Context()))
			b.StartTimer()
		}
	})
	b.Run("again", func(b *testing.B) {
		root := b.TempDir()
		for range b.N {
			s, err := Open(b.Context(), Config{Root: root, Driver: "overlayfs"})
			must(b, err)
			b.StopTimer()
			must(b, s.Close(b.Context()))
			b.StartTimer()
		}
	})
}
