package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry/container/archive"
	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"
)

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
