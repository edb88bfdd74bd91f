package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry/container/archive"
	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	changes "github.com/moby/go-archive"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
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

func TestStat(t *testing.T) {
	m := start(t, map[string]string{"etc/hosts": "abc", "link -> /etc": "", "dangling -> ../../no/where": "", "chain -> link/hosts": ""})
	for path, want := range map[string]string{
		"/etc/hosts": "hosts - ", "etc/hosts": "hosts - ", "/etc": "etc d ", "/etc/": "etc d ", "/etc/.": ". d ", "/": "/ d ",
		"/link": "link L /etc", "/link/": "link d ", "/link/hosts": "hosts - ", "/dangling": "dangling L /no/where",
		"/chain": "chain L /etc/hosts", "/../../etc": "etc d ",
	} {
		got, err := m.Stat(t.Context(), "web", path)
		if err != nil {
			t.Fatal(path, err)
		}
		if s := fmt.Sprint(got.Name, " ", got.Mode.String()[:1], " ", got.LinkTarget); s != want {
			t.Errorf("%s: got %q", path, s)
		}
	}
	if got, err := m.Stat(t.Context(), "web", "/etc/hosts"); err != nil || got.Size != 3 || got.Mode.Perm() != 0o644 || got.Mtime.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestErrorsAreDockerds(t *testing.T) {
	m := start(t, map[string]string{"etc/hosts": "abc", "loop -> loop": ""})
	for _, c := range []struct {
		ref, path, want string
		kind            error
	}{
		{"web", "/x", "Could not find the file /x in container web", errdefs.ErrNotFound},
		{"web", "/x/y", "Could not find the file /x/y in container web", errdefs.ErrNotFound},
		{"web", "/etc/hosts/", "not a directory", errdefs.ErrInvalidArgument},
		{"web", "/etc/hosts/x", "not a directory", errdefs.ErrInvalidArgument},
		{"web", "/loop/x", "too many levels", errdefs.ErrInvalidArgument},
		{"web", "/" + strings.Repeat("x", 300), "name too long", errdefs.ErrInvalidArgument},
		{"web", "/a\x00b", "invalid argument", errdefs.ErrInvalidArgument},
		{"nope", "/x", "No such container: nope", errdefs.ErrNotFound},
	} {
		_, statErr := m.Stat(t.Context(), c.ref, c.path)
		_, _, fromErr := m.CopyFrom(t.Context(), c.ref, c.path)
		toErr := m.CopyTo(t.Context(), c.ref, c.path, bytes.NewReader(nil), archive.CopyToOptions{})
		for _, err := range []error{statErr, fromErr, toErr} {
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.kind) {
				t.Errorf("%q: got %v", c.path, err)
			}
		}
	}
	err := m.CopyTo(t.Context(), "web", "/etc/hosts", bytes.NewReader(nil), archive.CopyToOptions{})
	if err == nil || err.Error() != "extraction point is not a directory" {
		t.Errorf("got %v", err)
	}
	m.record.Status = record.Removing
	if _, err := m.Stat(t.Context(), "web", "/"); !errors.Is(err, errdefs.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

func TestCopyFromNamesEntriesAsDockerd(t *testing.T) {
	m := start(t, map[string]string{"srv/app/b": "2", "srv/app/sub/c": "3", "srv/app/l -> b": "", "link -> srv/app": ""})
	for path, want := range map[string][]string{
		"/srv/app":   {"app/", "app/b = 2", "app/l -> b", "app/sub/", "app/sub/c = 3"},
		"/srv/app/.": {"./", "./b = 2", "./l -> b", "./sub/", "./sub/c = 3"},
		"/srv/app/b": {"b = 2"},
		"/link":      {"link -> srv/app"},
		"/link/sub/": {"sub/", "sub/c = 3"},
		"/link/":     {"link/", "link/b = 2", "link/l -> b", "link/sub/", "link/sub/c = 3"},
		"/":          {"/", "/link -> srv/app", "/srv/", "/srv/app/", "/srv/app/b = 2", "/srv/app/l -> b", "/srv/app/sub/", "/srv/app/sub/c = 3"},
	} {
		r, stat, err := m.CopyFrom(t.Context(), "web", path)
		if err != nil {
			t.Fatal(path, err)
		}
		if got := listing(t, r); !slices.Equal(got, want) {
			t.Errorf("%s: got %q", path, got)
		}
		if stat.Name != filepath.Base(path) && path != "/" {
			t.Errorf("%s: %+v", path, stat)
		}
	}
}

func TestCopyFromKeepsEverything(t *testing.T) {
	m := start(t, map[string]string{"d/f": "data"})
	d := filepath.Join(m.root, "d")
	for _, err := range []error{
		os.Link(filepath.Join(d, "f"), filepath.Join(d, "g")),
		unix.Mkfifo(filepath.Join(d, "p"), 0o600),
		unix.Mknod(filepath.Join(d, "n"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		os.Chmod(filepath.Join(d, "f"), 0o755|os.ModeSetuid),
		os.Chown(filepath.Join(d, "f"), 12, 13),
		os.Chmod(filepath.Join(d, "f"), 0o755|os.ModeSetuid),
		unix.Setxattr(filepath.Join(d, "f"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0),
		os.Chtimes(filepath.Join(d, "f"), time.Unix(1, 0), time.Unix(1000, 5)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(socket) }()
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: filepath.Join(d, "s")}); err != nil {
		t.Fatal(err)
	}
	r, _, err := m.CopyFrom(t.Context(), "web", "/d")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]*tar.Header{}
	tr := tar.NewReader(r)
	for h, err := tr.Next(); err == nil; h, err = tr.Next() {
		seen[h.Name] = h
	}
	_ = r.Close()
	f, n := seen["d/f"], seen["d/n"]
	if len(seen) != 5 || f.Mode != 0o4755 || f.Uid != 12 || f.Gid != 13 || f.Uname != "" || f.ModTime.Unix() != 1000 || len(f.PAXRecords["SCHILY.xattr.security.capability"]) != 20 {
		t.Errorf("got %v, %+v", seen, f)
	}
	if g := seen["d/g"]; g.Typeflag != tar.TypeLink || g.Linkname != "d/f" {
		t.Errorf("got %+v", g)
	}
	if n.Typeflag != tar.TypeChar || n.Devmajor != 1 || n.Devminor != 3 || seen["d/p"].Typeflag != tar.TypeFifo {
		t.Errorf("got %+v", n)
	}
}

func TestCopyFromStopsWhenTheClientLeaves(t *testing.T) {
	m := start(t, nil)
	if err := os.WriteFile(filepath.Join(m.root, "big"), make([]byte, 8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	r, _, err := m.CopyFrom(t.Context(), "web", "/big")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil { // would never return if the other side did not end
		t.Error(err)
	}
}

func TestExportHasTheRootAlone(t *testing.T) {
	m := start(t, map[string]string{"bin/sh": "x", "data/": ""})
	fill(t, m.volume, map[string]string{"secret": "s"})
	m.record.Mounts["/data"] = &record.MountPoint{Type: mount.TypeVolume, Name: "v", Destination: "/data", RW: true}
	r, err := m.Export(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, r); !slices.Equal(got, []string{"bin/", "bin/sh = x", "data/"}) {
		t.Errorf("got %q", got)
	}
	if !slices.Equal(m.told, []events.Action{events.ActionExport}) {
		t.Errorf("told %v", m.told)
	}
}

func TestChanges(t *testing.T) {
	m := start(t, nil)
	got, err := m.Service.Changes(t.Context(), "web")
	if err != nil || len(got) != 2 || got[0].Kind != container.ChangeAdd || got[1].Kind != container.ChangeDelete || got[1].Path != "/d" {
		t.Errorf("got %v, %v", got, err)
	}
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

func TestCopyToUndoesCompression(t *testing.T) {
	plain := pack(t, file("f", "data"))
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, _ = w.Write(plain)
	_ = w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	streams := map[string][]byte{"plain": plain, "gzip": gz.Bytes(), "zstd": z.EncodeAll(plain, nil)}
	if bz, err := exec.LookPath("bzip2"); err == nil {
		cmd := exec.CommandContext(t.Context(), bz, "-c")
		cmd.Stdin = bytes.NewReader(plain)
		if streams["bzip2"], err = cmd.Output(); err != nil {
			t.Fatal(err)
		}
	}
	for name, stream := range streams {
		m := start(t, map[string]string{"d/": ""})
		if err := m.CopyTo(t.Context(), "web", "/d", bytes.NewReader(stream), archive.CopyToOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if data, err := os.ReadFile(filepath.Join(m.root, "d/f")); err != nil || string(data) != "data" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	m := start(t, nil)
	for name, stream := range map[string][]byte{"xz": []byte("\xfd7zXZ\x00rest"), "cut gzip": gz.Bytes()[:20], "junk": bytes.Repeat([]byte("x"), 1024)} {
		err := m.CopyTo(t.Context(), "web", "/", bytes.NewReader(stream), archive.CopyToOptions{})
		if !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := m.CopyTo(t.Context(), "web", "/", strings.NewReader(""), archive.CopyToOptions{}); err != nil {
		t.Errorf("an empty stream: %v", err)
	}
}

func TestCopyToSetsAttributes(t *testing.T) {
	m := start(t, map[string]string{"d/": "", "etc/passwd": "web:x:33:34::/:/bin/sh\n"})
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	f := file("sub/f", "data")
	f.Mode, f.Uid, f.Gid, f.ModTime = 0o4755, 5, 6, time.Unix(1000, 0)
	f.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.a": "b"}
	sub := dir("sub")
	sub.ModTime, sub.Mode = time.Unix(2000, 0), 0o700
	l := link("l", "/nowhere", tar.TypeSymlink)
	l.Uid, l.ModTime = 7, time.Unix(3000, 0)
	node := entry{Header: tar.Header{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}}
	fifo := entry{Header: tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o622}}
	stream := pack(t, sub, f, l, node, fifo, link("hard", "sub/f", tar.TypeLink))
	if err := m.CopyTo(t.Context(), "web", "/d", bytes.NewReader(stream), archive.CopyToOptions{}); err != nil {
		t.Fatal(err)
	}
	stat := func(name string) (st unix.Stat_t) {
		if err := unix.Lstat(filepath.Join(m.root, "d", name), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	if st := stat("sub/f"); st.Mode&0o7777 != 0o4755 || st.Uid != 5 || st.Gid != 6 || st.Mtim.Sec != 1000 || st.Nlink != 2 {
		t.Errorf("got %+v", st)
	}
	if st := stat("sub"); st.Mode&0o7777 != 0o700 || st.Mtim.Sec != 2000 {
		t.Errorf("got %+v", st)
	}
	if st := stat("l"); st.Uid != 7 || st.Mtim.Sec != 3000 {
		t.Errorf("got %+v", st)
	}
	if st := stat("null"); st.Rdev != unix.Mkdev(1, 3) || st.Mode != unix.S_IFCHR|0o666 {
		t.Errorf("got %+v", st)
	}
	var value [64]byte
	path := filepath.Join(m.root, "d/sub/f")
	if n, err := unix.Getxattr(path, "security.capability", value[:]); err != nil || string(value[:n]) != capability {
		t.Errorf("got %q, %v", value[:n], err)
	}
	if _, err := unix.Getxattr(path, "trusted.overlay.opaque", value[:]); err == nil {
		t.Error("an attribute of the storage driver was set")
	}
	m.record.Config.User = "web"
	if err := m.CopyTo(t.Context(), "web", "/d", bytes.NewReader(stream), archive.CopyToOptions{CopyUIDGID: true}); err != nil {
		t.Fatal(err)
	}
	if st := stat("sub/f"); st.Uid != 33 || st.Gid != 34 {
		t.Errorf("got %+v", st)
	}
}

func TestCopyToOverwriteRules(t *testing.T) {
	files := map[string]string{"d/dir/x": "x", "d/file": "old", "d/link -> ../out": "", "out": "kept"}
	stream := func(e ...entry) io.Reader { return bytes.NewReader(pack(t, e...)) }
	m := start(t, files)
	strict := archive.CopyToOptions{NoOverwriteDirNonDir: true}
	for want, e := range map[string]entry{
		`cannot overwrite directory "/d/dir" with non-directory "/d"`:  file("dir", ""),
		`cannot overwrite non-directory "/d/file" with directory "/d"`: dir("file"),
	} {
		err := m.CopyTo(t.Context(), "web", "/d", stream(e), strict)
		if err == nil || err.Error() != want || !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("got %v", err)
		}
	}
	if err := m.CopyTo(t.Context(), "web", "/d", stream(dir("dir"), file("file", "new"), file("link", "new")), strict); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"d/dir/x": "x", "d/file": "new", "d/link": "new", "out": "kept"} {
		if data, err := os.ReadFile(filepath.Join(m.root, name)); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	// Without the option, a file replaces a directory, and a directory that file again.
	if err := m.CopyTo(t.Context(), "web", "/d", stream(file("dir", "f"), dir("dir"), file("dir/y", "y"), file("file", "1"), file("file", "2")), archive.CopyToOptions{}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(m.root, "d/dir")); err != nil || len(left) != 1 || left[0].Name() != "y" {
		t.Errorf("got %v, %v", left, err)
	}
	if data, _ := os.ReadFile(filepath.Join(m.root, "d/file")); string(data) != "2" {
		t.Errorf("the last of two of one name is %q", data)
	}
}

func TestVolumesAndBindsAreVisibleInAStoppedContainer(t *testing.T) {
	m := start(t, map[string]string{"var/run -> /run": "", "run/": ""})
	bind := t.TempDir()
	fill(t, m.volume, map[string]string{"f": "of the volume", "sub/g": "deep"})
	fill(t, bind, map[string]string{"h": "of the bind"})
	fill(t, m.root, map[string]string{"cfg/only": "root"})
	m.record.Mounts = map[string]*record.MountPoint{
		"/data":         {Type: mount.TypeVolume, Name: "v", Destination: "/data", RW: true},
		"/data/sub":     {Type: mount.TypeBind, Source: bind, Destination: "/data/sub"},
		"/var/run/deep": {Type: mount.TypeVolume, Name: "v", Destination: "/var/run/deep", RW: true, Spec: mount.Mount{VolumeOptions: &mount.VolumeOptions{Subpath: "sub"}}},
		"/gone":         {Type: mount.TypeBind, Source: "/nonexistent/source", Destination: "/gone"},
		"/scratch":      {Type: mount.TypeTmpfs, Destination: "/scratch", RW: true},
	}
	for path, want := range map[string]string{"/data/f": "f = of the volume", "/data/sub/h": "h = of the bind", "/run/deep/g": "g = deep", "/cfg/only": "only = root"} {
		r, _, err := m.CopyFrom(t.Context(), "web", path)
		if err != nil {
			t.Fatal(path, err)
		}
		if got := listing(t, r); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q", path, got)
		}
	}
	if err := m.CopyTo(t.Context(), "web", "/data", bytes.NewReader(pack(t, file("new", "1"))), archive.CopyToOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(m.volume, "new")); err != nil {
		t.Error("the file is not in the volume")
	}
	if left, _ := os.ReadDir(filepath.Join(m.root, "data")); len(left) > 0 {
		t.Errorf("below the volume there is %v", left)
	}
}

func TestReadOnlyIsRefusedInDockerdsWords(t *testing.T) {
	m := start(t, map[string]string{"ro/": "", "rw/": "", "to-rw -> rw": ""})
	m.record.HostConfig.ReadonlyRootfs = true
	m.record.Mounts = map[string]*record.MountPoint{
		"/ro": {Type: mount.TypeBind, Source: t.TempDir(), Destination: "/ro"},
		"/rw": {Type: mount.TypeVolume, Name: "v", Destination: "/rw", RW: true},
	}
	stream := pack(t, file("f", "1"))
	for path, want := range map[string]string{"/": "container rootfs is marked read-only", "/ro": "mounted volume is marked read-only", "/to-rw": ""} {
		err := m.CopyTo(t.Context(), "web", path, bytes.NewReader(stream), archive.CopyToOptions{})
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want || !errors.Is(err, errdefs.ErrPermissionDenied)) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	// A link in the tar's way leads from the writable volume to the root: the kernel refuses.
	fill(t, m.volume, map[string]string{"escape -> /ro": ""})
	if err := m.CopyTo(t.Context(), "web", "/rw", bytes.NewReader(pack(t, file("escape/f", "1"))), archive.CopyToOptions{}); err == nil {
		t.Error("a file was written to a read-only mount")
	}
	if _, err := os.Stat(filepath.Join(m.root, "ro/f")); err == nil {
		t.Error("a file was written below a read-only mount")
	}
}

func TestNetworkFilesAreShown(t *testing.T) {
	m := start(t, map[string]string{"etc/hosts": ""})
	dirs := t.TempDir()
	fill(t, dirs, map[string]string{m.record.ID + "/hosts": "127.0.0.1 web"})
	m.Service = archive.New(archive.Config{Containers: m, Layers: m, Volumes: m, Dir: dirs})
	r, _, err := m.CopyFrom(t.Context(), "web", "/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, r); !slices.Equal(got, []string{"hosts = 127.0.0.1 web"}) {
		t.Errorf("got %q", got)
	}
}

// containerEnv makes this binary the init process of a container.
const containerEnv = "GANTRY_ARCHIVE_CONTAINER"

func TestMain(m *testing.M) {
	root := os.Getenv(containerEnv)
	if root == "" {
		os.Exit(m.Run())
	}
	err := contain(root)
	_ = json.NewEncoder(os.Stdout).Encode(fmt.Sprint(err))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
}

// contain moves this process, which has a mount namespace of its own, into root, with a mount of its own making there.
func contain(root string) error {
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return unix.Chdir(root) },
		func() error { return unix.PivotRoot(".", ".") },
		func() error { return unix.Unmount(".", unix.MNT_DETACH) },
		func() error { return unix.Mount("own", "/own", "tmpfs", 0, "") },
		func() error { return os.WriteFile("/own/hidden", nil, 0o644) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// runs starts the container.
func (m *machine) runs(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), containerEnv+"="+m.root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	var said string
	if err := json.NewDecoder(stdout).Decode(&said); err != nil || said != "<nil>" {
		t.Fatal(said, err)
	}
	m.record.Status, m.record.Pid = record.Running, cmd.Process.Pid
}

func TestARunningContainerIsSeenWithoutItsOwnMounts(t *testing.T) {
	m := start(t, map[string]string{"own/": "", "etc/f": "live", "data/": ""})
	fill(t, m.volume, map[string]string{"v": "1"})
	m.record.Mounts["/data"] = &record.MountPoint{Type: mount.TypeVolume, Name: "v", Destination: "/data", RW: true}
	m.runs(t)
	for path, want := range map[string][]string{"/etc/f": {"f = live"}, "/own": {"own/"}, "/data": {"data/", "data/v = 1"}} {
		r, _, err := m.CopyFrom(t.Context(), "web", path)
		if err != nil {
			t.Fatal(path, err)
		}
		if got := listing(t, r); !slices.Equal(got, want) {
			t.Errorf("%s: got %q", path, got)
		}
	}
	if err := m.CopyTo(t.Context(), "web", "/etc", bytes.NewReader(pack(t, file("new", "1"))), archive.CopyToOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(m.root, "etc/new")); err != nil {
		t.Error(err)
	}
}

func TestAPidOfTheHostIsNoContainer(t *testing.T) {
	m := start(t, nil)
	m.record.Status, m.record.Pid = record.Running, os.Getpid()
	if _, err := m.Stat(t.Context(), "web", "/"); err == nil || !strings.Contains(err.Error(), "is not in a container") {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsLeftMounted(t *testing.T) {
	m := start(t, map[string]string{"data/": ""})
	m.record.Mounts["/data"] = &record.MountPoint{Type: mount.TypeVolume, Name: "v", Destination: "/data", RW: true}
	count := func() (mounts, descriptors int) {
		data, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(data, []byte("\n")), len(fds)
	}
	once := func() {
		r, _, err := m.CopyFrom(t.Context(), "web", "/")
		if err != nil {
			t.Fatal(err)
		}
		listing(t, r)
		if err := m.CopyTo(t.Context(), "web", "/data", bytes.NewReader(pack(t, file("f", "1"))), archive.CopyToOptions{}); err != nil {
			t.Fatal(err)
		}
		_, _ = m.Stat(t.Context(), "web", "/nope")
	}
	once() // the first opens what the process keeps
	mounts, descriptors := count()
	for range 5 {
		once()
	}
	if a, b := count(); a != mounts || b != descriptors {
		t.Errorf("mounts %d -> %d, descriptors %d -> %d", mounts, a, descriptors, b)
	}
}

func BenchmarkStat(b *testing.B) {
	m := &machine{root: b.TempDir(), volume: b.TempDir(), record: &record.Container{ID: "x", Config: &container.Config{}, HostConfig: &container.HostConfig{}}}
	m.record.Mounts = map[string]*record.MountPoint{"/data": {Type: mount.TypeVolume, Name: "v", Destination: "/data", RW: true}}
	s := archive.New(archive.Config{Containers: m, Layers: m, Volumes: m, Dir: b.TempDir()})
	for b.Loop() {
		if _, err := s.Stat(b.Context(), "web", "/data"); err != nil {
			b.Fatal(err)
		}
	}
}
