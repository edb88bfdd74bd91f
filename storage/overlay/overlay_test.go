package overlay

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/internal/testkit/imagetar"

	"golang.org/x/sys/unix"
)

func open(t *testing.T) *Driver {
	t.Helper()
	d, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// apply unpacks a layer and returns its directory.
func apply(t *testing.T, d *Driver, files imagetar.Rootfs) string {
	t.Helper()
	m, err := d.Prepare(t.Context(), t.Name(), "")
	if err != nil {
		t.Fatal(err)
	}
	data, err := imagetar.Layer(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), m, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return m[0].Source
}

func TestLayerCannotSteerOverlayfs(t *testing.T) {
	dir := apply(t, open(t), imagetar.Rootfs{"d": {Mode: os.ModeDir | 0o755, Records: map[string]string{
		"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.mine": "1",
	}}})
	buf := make([]byte, 100)
	for _, attr := range []string{"trusted.overlay.redirect", "trusted.overlay.opaque"} {
		if _, err := unix.Lgetxattr(filepath.Join(dir, "d"), attr, buf); err != unix.ENODATA {
			t.Errorf("%s: %v", attr, err)
		}
	}
	if n, err := unix.Lgetxattr(filepath.Join(dir, "d"), "user.mine", buf); err != nil || n != 1 {
		t.Errorf("user.mine: %v", err)
	}
}

func TestWhiteoutAndFileOfOneLayer(t *testing.T) {
	// in the tar, ".wh.x" stands before "x"; "a" before "a/.wh..wh..opq"
	dir := apply(t, open(t), imagetar.Rootfs{
		".wh.x": {}, "x": {Data: "new"}, ".wh.d": {}, "d/in": {Data: "new"}, "o/.wh..wh..opq": {}, "o/f": {}, ".wh.gone": {},
		"zz/.wh.f": {}, "zz/f": {Data: "new"},
	})
	for _, name := range []string{"x", "d/in", "zz/f"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != "new" {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dir, "gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("whiteout: %+v %v", st, err)
	}
	buf := make([]byte, 2)
	if n, err := unix.Lgetxattr(filepath.Join(dir, "o"), opaque, buf); err != nil || n != 1 || buf[0] != 'y' {
		t.Errorf("opaque: %v", err)
	}
}

// Attack row 8: names that leave the layer, and links that lead out of it.
func TestLayerCannotWriteOutside(t *testing.T) {
	outside := t.TempDir()
	d := open(t)
	for n, files := range []imagetar.Rootfs{
		{"../../../../../../../../../../../../../../../.." + outside + "/f": {Data: "x"}},
		{"link": {Mode: os.ModeSymlink | 0o777, Data: outside}, "link/f": {Data: "x"}},
		{"link": {Mode: os.ModeSymlink | 0o777, Data: "../../../../../../../../../../../.." + outside}, "link/.wh.keep": {}},
		{"hard": {Link: "../../../../../../../../../../../.." + outside + "/keep"}},
		{".wh...": {}}, {".wh..": {}}, {"x/.wh...": {}},
	} {
		if err := os.WriteFile(filepath.Join(outside, "keep"), []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
		key := strings.Repeat("k", n+1)
		m, err := d.Prepare(t.Context(), key, "")
		if err != nil {
			t.Fatal(err)
		}
		data, err := imagetar.Layer(files)
		if err != nil {
			t.Fatal(err)
		}
		_ = d.Apply(t.Context(), m, bytes.NewReader(data)) // it may fail, it must not get out
		entries, err := os.ReadDir(outside)
		if err != nil || len(entries) != 1 {
			t.Errorf("%d: %v %v", n, entries, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(outside, "keep"), &st); err != nil || st.Nlink != 1 {
			t.Errorf("%d: %d links, %v", n, st.Nlink, err)
		}
	}
}

func TestProbeSaysWhy(t *testing.T) {
	if err := Probe("/proc/self"); err == nil || !strings.Contains(err.Error(), "/proc/self") {
		t.Error(err)
	}
}

func TestRemoveAll(t *testing.T) {
	d := open(t)
	for _, key := range []string{"a", "b", "c"} {
		if _, err := d.Prepare(t.Context(), key, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.RemoveAll(t.Context(), []string{"a", "missing", "b"}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"a": false, "b": false, "c": true} {
		if _, err := d.Stat(t.Context(), key); (err == nil) != want {
			t.Errorf("%s: %v", key, err)
		}
	}
}
