package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gantry/container/archive"
	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"
)

func (m *machine) put(t testing.TB, path string, entries ...entry) error {
	t.Helper()
	return m.CopyTo(t.Context(), "web", path, bytes.NewReader(pack(t, entries...)), archive.CopyToOptions{})
}

func TestHostileNamesStayInside(t *testing.T) {
	for name, refused := range map[string]bool{
		"/etc/f": false, "./a/../f": false, "a//b/f": false, ".../f": false,
		"../f": true, "a/../../f": true, "/../f": false, "../../../../../../tmp/f": true,
	} {
		m := start(t, map[string]string{"d/": ""})
		err := m.put(t, "/d", file(name, "x"))
		if refused != (err != nil) || refused && !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(m.root); len(left) != 1 {
			t.Errorf("%s: the root has %v", name, left)
		}
	}
}

func TestHardLinksDoNotLeaveTheDirectory(t *testing.T) {
	m := start(t, map[string]string{"etc/shadow": "secret", "d/": "", "d/up -> ..": ""})
	for _, to := range []string{"../etc/shadow", "/../../etc/shadow/../shadow", "x/../../etc/shadow"} {
		err := m.put(t, "/d", link("stolen", to, tar.TypeLink))
		if err == nil {
			t.Errorf("%s was linked", to)
		}
	}
	// A link that the container has itself may lead anywhere in the container, and no further.
	if err := m.put(t, "/d", link("own", "up/etc/shadow", tar.TypeLink)); err != nil {
		t.Error(err)
	}
	if err := m.put(t, "/d", link("link", "/etc/passwd", tar.TypeSymlink), link("hard", "link", tar.TypeLink)); err != nil {
		t.Error(err)
	}
	if to, err := os.Readlink(filepath.Join(m.root, "d/hard")); err != nil || to != "/etc/passwd" {
		t.Errorf("a hard link to a link is %q, %v", to, err)
	}
}

func TestLinksOfTheTarLeadNowhereElse(t *testing.T) {
	outside := t.TempDir()
	for _, to := range []string{outside, strings.Repeat("../", 20) + outside[1:], "/proc/self/root" + outside} {
		m := start(t, map[string]string{"d/": ""})
		err := m.put(t, "/d", link("l", to, tar.TypeSymlink), file("l/f", "x"))
		if err == nil {
			t.Errorf("written through a dangling link to %s", to)
		}
		if err := m.put(t, "/d", dir("real"), link("l2", "/d/real", tar.TypeSymlink), file("l2/f", "x")); err != nil {
			t.Errorf("a link inside: %v", err)
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("the host has %v", left)
	}
}

func TestAFileReplacedByADirectoryAndBack(t *testing.T) {
	m := start(t, map[string]string{"d/": ""})
	err := m.put(t, "/d", file("x", "1"), dir("x"), file("x/y", "2"), file("x", "3"), dir("x"), dir("x/z"), link("x/z", "/", tar.TypeSymlink), file("x/z", "4"))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(m.root, "d/x/z")); err != nil || string(data) != "4" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestABadTarIsRefused(t *testing.T) {
	m := start(t, map[string]string{"d/": ""})
	for name, e := range map[string]entry{
		"a name that is too long": file(strings.Repeat("x", 300), ""),
		"a path that is too long": file(strings.Repeat("x/", 3000)+"f", ""),
		"the directory as a file": file(".", ""),
		"a device number":         {Header: tar.Header{Name: "n", Typeflag: tar.TypeBlock, Devmajor: 1 << 20}},
	} {
		if err := m.put(t, "/d", e); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	huge := pack(t, file("f", strings.Repeat("x", 4<<20)))
	huge[156] = tar.TypeXHeader // the type of what follows: PAX records
	sum := 0
	for i, b := range huge[:512] {
		if i >= 148 && i < 156 { // the sum itself counts as spaces
			b = ' '
		}
		sum += int(b)
	}
	copy(huge[148:156], fmt.Sprintf("%06o\x00 ", sum))
	err := m.CopyTo(t.Context(), "web", "/d", bytes.NewReader(huge), archive.CopyToOptions{})
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a header of 4 MiB: %v", err)
	}
}

func TestATarOfManyEntriesTakesLittleMemory(t *testing.T) {
	m := start(t, map[string]string{"d/": ""})
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		for i := range 5000 {
			_ = out.WriteHeader(&tar.Header{Name: fmt.Sprintf("e%d/", i%50), Typeflag: tar.TypeDir, Mode: 0o755})
		}
		_ = w.CloseWithError(out.Close())
	}()
	if err := m.CopyTo(t.Context(), "web", "/d", r, archive.CopyToOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestAMountPointIsNotEmptied(t *testing.T) {
	m := start(t, map[string]string{"d/v/": ""})
	fill(t, m.volume, map[string]string{"precious": "1"})
	m.record.Mounts["/d/v"] = &record.MountPoint{Type: mount.TypeVolume, Name: "v", Destination: "/d/v", RW: true}
	fill(t, m.root, map[string]string{"etc/hosts": ""})
	m.record.Mounts["/etc/hosts"] = &record.MountPoint{Type: mount.TypeBind, Source: filepath.Join(m.volume, "precious"), Destination: "/etc/hosts", RW: true}
	for dir, name := range map[string]string{"/d": "v", "/": "d", "/etc": "hosts"} {
		if err := m.put(t, dir, file(name, "x")); !errors.Is(err, unix.EBUSY) {
			t.Errorf("%s in %s: %v", name, dir, err)
		}
	}
	if _, err := os.Stat(filepath.Join(m.volume, "precious")); err != nil {
		t.Error("the volume was emptied")
	}
}

func TestATreeTooDeepForAPathIsNoHarm(t *testing.T) {
	m := start(t, map[string]string{"d/": ""})
	at, err := unix.Open(filepath.Join(m.root, "d"), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("n", 200)
	for range 60 { // 12,000 bytes
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		_ = unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	_ = unix.Close(at)
	r, _, err := m.CopyFrom(t.Context(), "web", "/d")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("got %v", err)
	}
	_ = r.Close()
	if err := m.put(t, "/", file("d", "x")); err != nil {
		t.Errorf("it cannot be replaced: %v", err)
	}
}

// swap exchanges a directory and a link to the host in a container until stopped, as fast as it can.
func swap(t *testing.T, dir, target string) (stop func()) {
	t.Helper()
	if err := os.Symlink(target, dir+".link"); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var work sync.WaitGroup
	work.Go(func() {
		for !done.Load() {
			_ = unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, dir+".link", unix.RENAME_EXCHANGE)
		}
	})
	return func() {
		done.Store(true)
		work.Wait()
	}
}

// Attack rows 6 and 7: links swapped while files are copied into the container.
func TestSwappedLinksCannotRedirectCopyTo(t *testing.T) {
	outside := t.TempDir()
	m := start(t, map[string]string{"d/sub/": ""})
	stop := swap(t, filepath.Join(m.root, "d/sub"), outside)
	for range 100 {
		_ = m.put(t, "/d", dir("sub"), file("sub/f", "x"), file("sub/deep/g", "x"), link("sub/h", "sub/f", tar.TypeLink))
		_ = m.put(t, "/d/sub", file("f", "x"))
	}
	stop()
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("the host's directory has %v", left)
	}
	var st unix.Stat_t
	if err := unix.Stat(outside, &st); err != nil || st.Mode&0o777 != 0o755 && st.Mode&0o777 != 0o700 && st.Mode&0o777 != 0o775 {
		t.Errorf("the host's directory is %o, %v", st.Mode, err)
	}
}

// Attack row 6, the other direction: links swapped while files are copied out of it.
func TestSwappedLinksCannotRedirectCopyFrom(t *testing.T) {
	outside := t.TempDir()
	fill(t, outside, map[string]string{"f": "of the host"})
	m := start(t, map[string]string{"d/sub/f": "of the container"})
	stop := swap(t, filepath.Join(m.root, "d/sub"), outside)
	defer stop()
	for range 100 {
		for _, path := range []string{"/d", "/d/sub/f", "/d/sub/"} {
			r, _, err := m.CopyFrom(t.Context(), "web", path)
			if err != nil {
				continue
			}
			data, _ := io.ReadAll(r)
			_ = r.Close()
			if bytes.Contains(data, []byte("of the host")) {
				t.Fatal("a file of the host was copied")
			}
		}
	}
}

func TestACanceledExtractionEnds(t *testing.T) {
	m := start(t, map[string]string{"d/": ""})
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		_ = out.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 1 << 50, Mode: 0o644})
		_, _ = out.Write(make([]byte, 1<<20))
		cancel()
		for {
			if _, err := out.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}()
	if err := m.CopyTo(ctx, "web", "/d", r, archive.CopyToOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_ = r.Close()
}

func FuzzCopyTo(f *testing.F) {
	f.Add(pack(f, dir("a"), file("a/b", "x"), link("l", "a", tar.TypeSymlink), file("l/c", "y"), link("h", "a/b", tar.TypeLink)))
	f.Add(pack(f, file("../x", "1"), link("l", "/", tar.TypeSymlink), file("l/etc/x", "2")))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		m := &machine{root: filepath.Join(outer, "root"), record: &record.Container{ID: "x", Config: &container.Config{}, HostConfig: &container.HostConfig{}}}
		if err := os.MkdirAll(filepath.Join(m.root, "d"), 0o755); err != nil {
			t.Fatal(err)
		}
		m.Service = archive.New(archive.Config{Containers: m, Layers: m, Volumes: m, Dir: t.TempDir()})
		_ = m.CopyTo(t.Context(), "web", "/d", bytes.NewReader(data), archive.CopyToOptions{})
		if left, err := os.ReadDir(outer); err != nil || len(left) != 1 {
			t.Fatalf("outside there is %v, %v", left, err)
		}
		_ = filepath.WalkDir(outer, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o755) // so that it can be removed
			}
			return nil
		})
	})
}
