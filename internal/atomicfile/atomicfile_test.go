package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gantry/internal/atomicfile"
)

func TestWriteReplacesAndSetsTheMode(t *testing.T) {
	for name, write := range map[string]func(string, []byte, os.FileMode) error{"durable": atomicfile.Write, "volatile": atomicfile.WriteVolatile} {
		path := filepath.Join(t.TempDir(), "state.json")
		for _, content := range []string{"a longer first content", "second", ""} {
			if err := write(path, []byte(content), 0o640); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != content {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestWriteThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "directory")
	if err := os.Mkdir(taken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(taken, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if err := atomicfile.Write(filepath.Join(dir, "missing", "x"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestReadersSeeOneContentOrTheOther writes contents of one repeated byte while readers look.
func TestReadersSeeOneContentOrTheOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	contents := [][]byte{bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 1<<17)}
	if err := atomicfile.WriteVolatile(path, contents[0], 0o600); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := os.ReadFile(path)
				if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
					t.Errorf("a mixture of %d bytes, %v", len(got), err)
					return
				}
			}
		})
	}
	for i := range 200 {
		if err := atomicfile.WriteVolatile(path, contents[i%2], 0o600); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	readers.Wait()
}

func TestStagedFilesAreNamedTogether(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{"a": []byte("1"), "b": []byte("2")}
	s, err := atomicfile.Stage(dir, files, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names(t, dir) {
		if !atomicfile.Temporary(e) {
			t.Errorf("%s has its name already", e)
		}
	}
	if err := s.Name("a"); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if len(names(t, dir)) != 2 {
		t.Errorf("%q", names(t, dir))
	}
}

func TestDiscardedFilesAreGone(t *testing.T) {
	dir := t.TempDir()
	s, err := atomicfile.Stage(dir, map[string][]byte{"a": nil, "b": nil}, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(); err != nil || len(names(t, dir)) != 0 {
		t.Errorf("%v %q", err, names(t, dir))
	}
	if _, err := atomicfile.Stage(filepath.Join(dir, "missing"), map[string][]byte{"a": nil}, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
