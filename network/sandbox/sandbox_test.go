package sandbox

import (
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"gantry/network/apart"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// TestMain runs the tests on a host of their own.
func TestMain(m *testing.M) { apart.Main(m, apart.Nothing) }

func TestNamespaceLivesUntilItIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "netns")
	p, err := NewPool(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 2 * ready {
		n, err := p.Get()
		if err != nil {
			t.Fatal(err)
		}
		n.Release()
		if len(n.ID) != 64 || n.Key != filepath.Join(dir, n.ID[:12]) {
			t.Fatalf("%+v", n)
		}
		if lo := inside(t, n.Key); lo.Flags&net.FlagUp == 0 {
			t.Error("loopback is down")
		}
		for range 2 {
			if err := Remove(n.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	keys, err := Keys(dir)
	if err != nil || len(keys) != 0 {
		t.Fatal(keys, err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// inside returns the loopback interface of a namespace that has no other.
func inside(t *testing.T, key string) (lo net.Interface) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := netns.GetFromPath(key)
		if err != nil {
			done <- err
			return
		}
		defer unix.Close(int(fd))
		if err := netns.Set(fd); err != nil {
			done <- err
			return
		}
		all, err := net.Interfaces()
		if err == nil && len(all) == 1 {
			lo = all[0]
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return lo
}
