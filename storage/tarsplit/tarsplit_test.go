package tarsplit

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

// split makes a tar of files, and its tar-split file.
func split(t testing.TB, files map[string]string) (layer, file []byte) {
	t.Helper()
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, name := range []string{"a", "dir/b", "../../outside", "/etc/hostname", strings.Repeat("long/", 60) + "name"} {
		data, ok := files[name]
		if !ok {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer = bytes.Clone(plain.Bytes())
	z := gzip.NewWriter(&packed)
	r, done, err := asm.NewInputTarStreamWithDone(&plain, storage.NewJSONPacker(z), storage.NewDiscardFilePutter())
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err == nil {
		err = <-done
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return layer, packed.Bytes()
}

// unpacked is a directory with files, and the path of the tar-split file.
func unpacked(t *testing.T, files map[string]string, file []byte) (dir, path string) {
	t.Helper()
	dir, path = t.TempDir(), filepath.Join(t.TempDir(), File)
	for name, data := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

func TestATarIsMadeAgainExactly(t *testing.T) {
	files := map[string]string{"a": "1", "dir/b": strings.Repeat("b", 100_000), strings.Repeat("long/", 60) + "name": "x"}
	layer, file := split(t, files)
	dir, path := unpacked(t, files, file)
	if n, err := SizeOf(path); err != nil || n != int64(len(layer)) {
		t.Errorf("size is %d, %v, want %d", n, err, len(layer))
	}
	r, err := Open(dir, path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, layer) {
		t.Errorf("%d bytes, want %d, %v", len(got), len(layer), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestAChangedFileIsAnError(t *testing.T) {
	files := map[string]string{"a": "1"}
	_, file := split(t, files)
	for what, now := range map[string]string{"other content": "2", "longer": "11", "shorter": ""} {
		dir, path := unpacked(t, map[string]string{"a": now}, file)
		r, err := Open(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err == nil {
			t.Errorf("%s: it is read", what)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A name in the file stands for what is in the layer's directory, whatever it says.
func TestNothingOutsideOfTheLayerIsRead(t *testing.T) {
	for _, name := range []string{"../../outside", "/etc/hostname"} {
		layer, file := split(t, map[string]string{name: "1"})
		dir, path := unpacked(t, nil, file)
		inside := filepath.Join(dir, filepath.Join("/", name))
		if err := os.MkdirAll(filepath.Dir(inside), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(inside, []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, layer) {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadingCanEndEarly(t *testing.T) {
	files := map[string]string{"dir/b": strings.Repeat("b", 1<<20)}
	_, file := split(t, files)
	dir, path := unpacked(t, files, file)
	r, err := Open(dir, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil { // hangs if the writer does not end
		t.Error(err)
	}
}

func FuzzSize(f *testing.F) {
	_, file := split(f, map[string]string{"a": "1"})
	f.Add(file)
	for _, seed := range []string{"", `{"type":2,"payload":"YQ=="}`, `{"type":1,"name":"a","size":-1}`, `{"type":1,"size":9223372036854775807}{"type":1,"size":1}`, `{"type":7}`} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, seed); err != nil {
			f.Fatal(err)
		}
		if err := z.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := Size(bytes.NewReader(data)); err == nil && n < 0 {
			t.Errorf("size is %d", n)
		}
	})
}
