// Package sandbox makes network namespaces and the interfaces in them.
//
// A namespace is kept alive by a mount of it at a path, its key. A few are made ahead of need.
package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with its loopback interface up. Until it is bound, it ends with this process.
type Namespace struct {
	ID, Key string // from Bind on
	fd      netns.NsHandle
	handle  *netlink.Handle
}

// create makes a namespace.
func create() (*Namespace, error) {
	n := &Namespace{fd: -1}
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so that no other goroutine finds itself elsewhere.
		runtime.LockOSThread()
		done <- n.unshare()
	}()
	if err := <-done; err != nil {
		return nil, errors.Join(fmt.Errorf("make network namespace: %w", err), n.release())
	}
	return n, nil
}

// unshare runs on a thread of its own, which it leaves in the new namespace.
func (n *Namespace) unshare() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if n.fd, err = netns.GetFromPath("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	if n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	lo, err := n.handle.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := n.handle.LinkSetUp(lo); err != nil {
		return err
	}
	// Interfaces to come have no IPv6 until their network has; lo keeps ::1.
	err = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a kernel without IPv6
	}
	return err
}

// Join opens the namespace at a key, to change it. The caller releases it.
func Join(key string) (*Namespace, error) {
	fd, err := netns.GetFromPath(key)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", key, err)
	}
	n := &Namespace{Key: key, fd: fd}
	if n.handle, err = netlink.NewHandleAt(fd, unix.NETLINK_ROUTE); err != nil {
		return nil, errors.Join(fmt.Errorf("enter network namespace %s: %w", key, err), n.release())
	}
	return n, nil
}

// bind gives the namespace an ID and a key under dir. Nothing is left when it fails.
func (n *Namespace) bind(dir string) error {
	id := NewID()
	key := filepath.Join(dir, id[:12])
	f, err := os.OpenFile(key, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	_ = f.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", n.fd), key, "", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("bind network namespace to %s: %w", key, err), os.Remove(key))
	}
	n.ID, n.Key = id, key
	return nil
}

// Release closes what the namespace was configured through; the namespace stays.
func (n *Namespace) Release() { _ = n.release() }

func (n *Namespace) release() error {
	if n.handle != nil {
		n.handle.Close()
		n.handle = nil
	}
	if n.fd >= 0 {
		err := n.fd.Close()
		n.fd = -1
		return err
	}
	return nil
}

// Remove takes the mount away; the kernel destroys the namespace once no process is in it. A key that is not there
// is not an error.
func Remove(key string) error {
	if err := unix.Unmount(key, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", key, err)
	}
	if err := os.Remove(key); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// NewID returns 64 random hexadecimal digits.
func NewID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
