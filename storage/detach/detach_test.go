package detach

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd/containerd/v2/core/mount"
)

// stack makes n lower directories with one file each, an upper and a work directory.
func stack(t *testing.T, root string, n int) Layers {
	t.Helper()
	mk := func(name string) string {
		dir := filepath.Join(root, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	l := Layers{Upper: mk("upper"), Work: mk("work"), Options: []string{"index=off"}}
	for i := range n {
		dir := mk(fmt.Sprintf("snapshots/%d/fs", i))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		l.Lower = append(l.Lower, dir)
	}
	return l
}

func names(t *testing.T, root *os.File) []string {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d", root.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestOverlayShowsAllLayersAndNoMountAppears(t *testing.T) {
	for name, open := range map[string]func(Layers) (*os.File, error){"fsopen": Overlay, "mount": oldAPI} {
		for _, n := range []int{1, 2, 120} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				l := stack(t, t.TempDir(), n)
				root, err := open(l)
				if err != nil {
					t.Fatal(err)
				}
				defer root.Close()
				if got := names(t, root); len(got) != n {
					t.Fatalf("%d files of %d", len(got), n)
				}
				if err := os.WriteFile(fmt.Sprintf("/proc/self/fd/%d/new", root.Fd()), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(filepath.Join(l.Upper, "new")); err != nil {
					t.Fatal("a new file is not in the upper directory")
				}
				mounts, err := os.ReadFile("/proc/self/mountinfo")
				if err != nil || strings.Contains(string(mounts), l.Upper) {
					t.Fatalf("the mount is visible on the host (%v)", err)
				}
			})
		}
	}
}

func TestReadOnlyStackRefusesWrites(t *testing.T) {
	for name, open := range map[string]func(Layers) (*os.File, error){"fsopen": Overlay, "mount": oldAPI} {
		for _, n := range []int{1, 3} {
			if name == "mount" && n == 1 {
				continue // Overlay never asks for it
			}
			l := stack(t, t.TempDir(), n)
			l.Upper, l.Work = "", ""
			root, err := open(l)
			if err != nil {
				t.Fatal(name, n, err)
			}
			defer root.Close()
			if err := os.WriteFile(fmt.Sprintf("/proc/self/fd/%d/new", root.Fd()), nil, 0o644); err == nil {
				t.Fatal(name, n, "write succeeded")
			}
		}
	}
}

func TestPathsLongerThanAParameter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 200), strings.Repeat("e", 200))
	root, err := Overlay(stack(t, dir, 3))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if got := names(t, root); len(got) != 3 {
		t.Fatal(got)
	}
}

func TestDetachedMountAttachesInAnotherNamespace(t *testing.T) {
	root, err := Overlay(stack(t, t.TempDir(), 2))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	target := t.TempDir()
	seen := make(chan error)
	go func() {
		// not unlocked: the thread keeps the namespace and ends
		runtime.LockOSThread()
		seen <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.MoveMount(int(root.Fd()), "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
				return err
			}
			_, err := os.Stat(filepath.Join(target, "1"))
			return err
		}()
	}()
	if err := <-seen; err != nil {
		t.Fatal(err)
	}
}

func TestParseOverlayKeepsColonsInPaths(t *testing.T) {
	l, err := ParseOverlay(mount.Mount{Type: "overlay", Options: []string{
		"workdir=/a:b/w", "upperdir=/a:b/u", "lowerdir=/a:b/2:/a:b/1", "index=off", "userxattr", "rw"}})
	if err != nil || len(l.Lower) != 2 || l.Lower[1] != "/a:b/1" || len(l.Options) != 2 {
		t.Fatalf("%+v %v", l, err)
	}
	if _, err := ParseOverlay(mount.Mount{Type: "overlay"}); err == nil {
		t.Fatal("no directories, no error")
	}
}

func TestErrorsSayWhatTheKernelSays(t *testing.T) {
	l := stack(t, t.TempDir(), 1)
	l.Options = []string{"nosuchoption"}
	_, err := Overlay(l)
	if err == nil || !strings.Contains(err.Error(), "nosuchoption") {
		t.Fatal(err)
	}
}
