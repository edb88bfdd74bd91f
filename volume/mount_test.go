package volume_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	api "github.com/moby/moby/api/types/volume"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// private gives the test a mount namespace that ends with it: its thread is never used again.
func private(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Skip("cannot unshare the mount namespace: ", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}

// mounted asks the thread's own table: /proc/self is the first thread's.
func mounted(t *testing.T, path string) bool {
	t.Helper()
	var here, above unix.Statx_t
	for p, st := range map[string]*unix.Statx_t{path: &here, filepath.Dir(path): &above} {
		if err := unix.Statx(unix.AT_FDCWD, p, 0, unix.STATX_MNT_ID, st); err != nil {
			t.Fatal(err)
		}
	}
	return here.Mnt_id != above.Mnt_id
}

func TestOptionsAreMountedForTheFirstAndUnmountedAfterTheLast(t *testing.T) {
	private(t)
	s := open(t, t.TempDir())
	v := create(t, s, api.CreateRequest{Name: "tmp", DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=64k,mode=700"}})
	if mounted(t, v.Mountpoint) {
		t.Error("mounted before anybody uses it")
	}
	for _, user := range []string{"c1", "c1", "c2"} {
		if _, err := s.Mount(t.Context(), "tmp", user); err != nil {
			t.Fatal(err)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(v.Mountpoint, &st); err != nil || st.Type != unix.TMPFS_MAGIC || st.Blocks*uint64(st.Bsize) != 64<<10 {
		t.Errorf("got %+v, %v", st, err)
	}
	if err := s.Remove(t.Context(), "tmp", false); err == nil {
		t.Error("removed while mounted")
	}
	for _, user := range []string{"c1", "c2", "c9"} {
		if err := s.Unmount(t.Context(), "tmp", user); err != nil {
			t.Fatal(err)
		}
	}
	if !mounted(t, v.Mountpoint) {
		t.Error("unmounted while c1 uses it")
	}
	if err := s.Unmount(t.Context(), "tmp", "c1"); err != nil {
		t.Fatal(err)
	}
	if mounted(t, v.Mountpoint) {
		t.Error("mounted though nobody uses it")
	}
}

func TestANewProcessFindsTheMountOfTheOld(t *testing.T) {
	private(t)
	root, source := t.TempDir(), t.TempDir()
	s := open(t, root)
	v := create(t, s, api.CreateRequest{Name: "bound", DriverOpts: map[string]string{"type": "none", "device": source, "o": "bind"}})
	if _, err := s.Mount(t.Context(), "bound", "c1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = open(t, root)
	if _, err := s.Mount(t.Context(), "bound", "c1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reconcile(t.Context()); err != nil || !mounted(t, v.Mountpoint) {
		t.Errorf("unmounted under a container: %v", err)
	}
	if err := s.Unmount(t.Context(), "bound", "c1"); err != nil || mounted(t, v.Mountpoint) {
		t.Errorf("mounted twice: %v", err)
	}
}

func TestReconcileUnmountsWhatNobodyUses(t *testing.T) {
	private(t)
	root := t.TempDir()
	s := open(t, root)
	v := create(t, s, api.CreateRequest{Name: "tmp", DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs"}})
	if _, err := s.Mount(t.Context(), "tmp", "c1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = open(t, root)
	if err := s.Reconcile(t.Context()); err != nil || mounted(t, v.Mountpoint) {
		t.Errorf("still mounted: %v", err)
	}
}

func TestMountFailureNamesTheVolumeAndHidesThePassword(t *testing.T) {
	private(t)
	s := open(t, t.TempDir())
	create(t, s, api.CreateRequest{Name: "share", DriverOpts: map[string]string{"type": "nosuchfs", "device": "//h/x", "o": "password=secret"}})
	_, err := s.Mount(t.Context(), "share", "c")
	if err == nil || !containsAll(err.Error(), "error while mounting volume", "failed to mount local volume", "********") || containsAll(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	if err := s.Remove(t.Context(), "share", false); err != nil {
		t.Errorf("a mount that failed keeps the volume: %v", err)
	}
}

func TestMountOfAPlainVolumeMountsNothing(t *testing.T) {
	s := open(t, t.TempDir())
	v := create(t, s, api.CreateRequest{Name: "web"})
	path, err := s.Mount(t.Context(), "web", "c")
	if err != nil || path != v.Mountpoint {
		t.Errorf("got %q, %v", path, err)
	}
	if ok, err := mountinfo.Mounted(path); ok || err != nil {
		t.Errorf("mounted: %v, %v", ok, err)
	}
	if err := os.WriteFile(filepath.Join(path, "f"), nil, 0o644); err != nil {
		t.Error(err)
	}
	if _, err := s.Mount(t.Context(), "nope", "c"); err == nil || err.Error() != "get nope: no such volume" {
		t.Errorf("got %v", err)
	}
}
