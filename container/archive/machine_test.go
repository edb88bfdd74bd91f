package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gantry/container/archive"
	"gantry/container/record"

	"github.com/containerd/errdefs"
	changes "github.com/moby/go-archive"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"golang.org/x/sys/unix"
)

// machine has one container, "web", whose root file system is a directory.
type machine struct {
	*archive.Service
	record  *record.Container
	root    string // of the container, on the host
	volume  string
	told    []events.Action
	mounted int
}

func (m *machine) Record(ref string) (*record.Container, error) {
	if ref != "web" && ref != m.record.ID {
		return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	copied := *m.record
	return &copied, nil
}

func (m *machine) Root(context.Context, string) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, m.root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), m.root), nil
}

func (m *machine) Changes(context.Context, string) ([]changes.Change, error) {
	return []changes.Change{{Path: "/a", Kind: changes.ChangeAdd}, {Path: "/d", Kind: changes.ChangeDelete}}, nil
}

func (m *machine) Mount(context.Context, string, string) (string, error) {
	m.mounted++
	return m.volume, nil
}

func (m *machine) Unmount(context.Context, string, string) error {
	m.mounted--
	return nil
}

// start makes a machine whose files are given by name; those that end in a slash are directories, "x -> y" are links.
func start(t *testing.T, files map[string]string) *machine {
	t.Helper()
	m := &machine{root: t.TempDir(), volume: t.TempDir(), record: &record.Container{
		ID: "0123456789abcdef", Name: "web", Config: &container.Config{}, HostConfig: &container.HostConfig{},
		Mounts: map[string]*record.MountPoint{},
	}}
	fill(t, m.root, files)
	m.Service = archive.New(archive.Config{
		Containers: m, Layers: m, Volumes: m, Dir: t.TempDir(),
		Told: func(_ *record.Container, a events.Action) { m.told = append(m.told, a) },
	})
	t.Cleanup(func() {
		if m.mounted != 0 {
			t.Errorf("%d volumes are left mounted", m.mounted)
		}
	})
	return m
}

func fill(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(root, link)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listing returns what is in a tar: "name" or "name -> link".
func listing(t *testing.T, r io.ReadCloser) []string {
	t.Helper()
	var out []string
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		line := h.Name
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if data, _ := io.ReadAll(tr); len(data) > 0 {
			line += " = " + string(data)
		}
		out = append(out, line)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	slices.Sort(out)
	return out
}

// entry is one of a tar that a test makes.
type entry struct {
	tar.Header
	data string
}

func file(name, data string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}, data}
}

func dir(name string) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}}
}

func link(name, to string, kind byte) entry {
	return entry{Header: tar.Header{Name: name, Linkname: to, Typeflag: kind, Mode: 0o777}}
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
