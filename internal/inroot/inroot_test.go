package inroot_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gantry/internal/inroot"

	"golang.org/x/sys/unix"
)

func tree(t *testing.T) (root *os.File, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o755),
		os.WriteFile(filepath.Join(dir, "a/b/file"), []byte("inside"), 0o644),
		os.Symlink("/a", filepath.Join(dir, "abs")),
		os.Symlink("../../../../a/b", filepath.Join(dir, "up")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
		os.Symlink("/nowhere/x", filepath.Join(dir, "dangling")),
		os.Symlink("/proc/self/root", filepath.Join(dir, "magic")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root, dir
}

func TestOpenStaysInside(t *testing.T) {
	root, _ := tree(t)
	for _, name := range []string{"/abs/b/file", "up/file", "../../../a/b/file", "a/../../a/b/file"} {
		data, err := inroot.ReadFile(root, name, 100)
		if err != nil || string(data) != "inside" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	for _, name := range []string{"/etc/passwd", "magic/etc/passwd", "../../../../../../etc/passwd"} {
		if _, err := inroot.ReadFile(root, name, 1<<20); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func TestAtOpensNoLinkAndNoPath(t *testing.T) {
	root, _ := tree(t)
	for _, name := range []string{"abs", "a/../abs", "..", "loop"} {
		if f, err := inroot.At(root, name, unix.O_RDONLY, 0); err == nil {
			t.Errorf("%s was opened", name)
			_ = f.Close()
		}
	}
	link, err := inroot.At(root, "abs", unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = link.Close() }()
	if target, err := inroot.Target(link); err != nil || target != "/a" {
		t.Errorf("got %q, %v", target, err)
	}
}

func TestParent(t *testing.T) {
	root, dir := tree(t)
	for name, want := range map[string][2]string{
		"/abs/b/new": {"a/b", "new"}, "/": {".", "."}, "x": {".", "x"}, "/up/": {".", "up"}, "../../a": {".", "a"},
	} {
		parent, base, err := inroot.Parent(root, name)
		if err != nil {
			t.Fatal(name, err)
		}
		at, err := os.Readlink(inroot.Path(parent))
		if err != nil || at != filepath.Join(dir, want[0]) || base != want[1] {
			t.Errorf("%s: %s, %s, %v", name, at, base, err)
		}
		_ = parent.Close()
	}
}

func TestEvaluate(t *testing.T) {
	root, _ := tree(t)
	for name, want := range map[string]string{
		"/abs/b": "/a/b", "up/file": "/a/b/file", "dangling": "/nowhere/x", "/": "/", "a/../..": "/", "abs/../new/x": "/new/x", "magic/x": "/proc/self/root/x",
	} {
		if got, err := inroot.Evaluate(root, name); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := inroot.Evaluate(root, "loop"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("got %v", err)
	}
}

func FuzzEvaluate(f *testing.F) {
	f.Add("a/../b", "../x")
	f.Fuzz(func(t *testing.T, name, target string) {
		root, dir := tree(t)
		if os.Symlink(target, filepath.Join(dir, "fuzz")) != nil {
			return
		}
		got, err := inroot.Evaluate(root, name+"/fuzz")
		if err == nil && (!strings.HasPrefix(got, "/") || strings.Contains(got, "/../")) {
			t.Errorf("%q", got)
		}
	})
}

func TestMkdirAll(t *testing.T) {
	old := unix.Umask(0o77)
	defer unix.Umask(old)
	root, dir := tree(t)
	made, created, err := inroot.MkdirAll(root, "/abs/new/deep", 0o751, 1000, 1001)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	_ = made.Close()
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "a/new/deep"), &st); err != nil || st.Mode&0o7777 != 0o751 || st.Uid != 1000 || st.Gid != 1001 {
		t.Errorf("got %o %d:%d, %v", st.Mode, st.Uid, st.Gid, err)
	}
	made, created, err = inroot.MkdirAll(root, "up", 0o700, 0, 0)
	if err != nil || created {
		t.Errorf("%v, %v", created, err)
	}
	_ = made.Close()
	for _, name := range []string{"a/b/file/x", "dangling/x"} {
		if _, _, err := inroot.MkdirAll(root, name, 0o700, 0, 0); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// A container that swaps a new directory for a link must not get at the host's files (attack rows 6 and 7).
func TestMkdirAllSurvivesSwaps(t *testing.T) {
	root, dir := tree(t)
	outside := filepath.Join(t.TempDir(), "host")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var work sync.WaitGroup
	work.Go(func() {
		for !stop.Load() {
			_ = os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "was"))
			_ = os.Symlink(outside, filepath.Join(dir, "new"))
			runtime.Gosched()
			_ = os.Remove(filepath.Join(dir, "new"))
			_ = os.RemoveAll(filepath.Join(dir, "was"))
		}
	})
	for range 2000 {
		made, _, err := inroot.MkdirAll(root, "new/sub", 0o777, 12345, 12345)
		if err == nil {
			_ = made.Close()
		}
	}
	stop.Store(true)
	work.Wait()
	var st unix.Stat_t
	if err := unix.Stat(outside, &st); err != nil || st.Mode&0o7777 != 0o700 || st.Uid != 0 {
		t.Errorf("the host's directory is now %o of %d, %v", st.Mode&0o7777, st.Uid, err)
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("the host's directory has %v", left)
	}
}

func TestReadFileRefusesWhatIsNoFile(t *testing.T) {
	root, dir := tree(t)
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "a", "a/b/file"} {
		if _, err := inroot.ReadFile(root, name, 3); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}
