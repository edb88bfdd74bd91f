package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/go-archive"
	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	outside, now := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(outside+"/secret", []byte("secret"), 0o600), os.Symlink(outside, now+"/dir"), os.Symlink(outside+"/secret", now+"/file"))
	changes, err := Compare(t.Context(), openDir(t, now), nil)
	must(t, err)
	if len(changes) != 2 {
		t.Errorf("%v", changes)
	}
	// what was a directory when it was listed is a link when it is read
	changes = append(changes, archive.Change{Path: "/dir/secret", Kind: archive.ChangeAdd})
	var out bytes.Buffer
	must(t, WriteLayer(t.Context(), &out, openDir(t, now), changes))
	if bytes.Contains(out.Bytes(), []byte("secret\x00secret")) || strings.Count(out.String(), "secret") > 2 {
		t.Error("a file of the host is in the layer")
	}
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		if h.Typeflag != tar.TypeSymlink {
			t.Errorf("%s is a %c", h.Name, h.Typeflag)
		}
	}
}

func TestSocketsAreShownAndNotWritten(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	defer l.Close()
	changes, err := Compare(t.Context(), openDir(t, dir), nil)
	if err != nil || len(changes) != 1 {
		t.Fatal(changes, err)
	}
	var out bytes.Buffer
	must(t, WriteLayer(t.Context(), &out, openDir(t, dir), changes))
	if _, err := tar.NewReader(&out).Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestDeepDirectoriesAreAnError(t *testing.T) {
	dir := t.TempDir()
	// deeper than any path can name: made by descriptors
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	for range maxDepth + 10 {
		must(t, unix.Mkdirat(fd, "d", 0o755))
		next, err := unix.Openat(fd, "d", unix.O_PATH|unix.O_DIRECTORY, 0)
		must(t, err, unix.Close(fd))
		fd = next
	}
	must(t, unix.Close(fd))
	if _, err := Compare(t.Context(), openDir(t, dir), nil); err == nil {
		t.Error("Compare")
	}
	if _, _, err := Usage(t.Context(), openDir(t, dir)); err == nil {
		t.Error("Usage")
	}
}

func TestWalksEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := openDir(t, t.TempDir())
	_, err := Compare(ctx, dir, nil)
	_, _, err2 := Usage(ctx, dir)
	err3 := WriteLayer(ctx, io.Discard, dir, []archive.Change{{Path: "/x"}})
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestUsageCountsHardLinksOnce(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/a", make([]byte, 64<<10), 0o644), os.Link(dir+"/a", dir+"/b"))
	bytes, inodes, err := Usage(t.Context(), openDir(t, dir))
	if err != nil || inodes != 2 || bytes < 64<<10 || bytes > 80<<10 {
		t.Errorf("%d bytes %d inodes %v", bytes, inodes, err)
	}
}
