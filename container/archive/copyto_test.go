package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry/container/archive"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

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
