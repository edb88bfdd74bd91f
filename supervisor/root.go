package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// takeRoot locks the exec root and listens, or goes on with the lock and the socket of the last program.
func (s *Supervisor) takeRoot() (err error) {
	if s.cfg.Legacy != nil {
		left, err := readLegacy(s.cfg.Legacy)
		if err != nil {
			return fmt.Errorf("what the last program left: %w", err)
		}
		return s.succeed(left)
	}
	if s.lock, err = lockRoot(s.cfg.Root); err != nil {
		return err
	}
	s.server.listener, err = listen(filepath.Join(s.cfg.Root, protocol.SocketName))
	return err
}

// leaveRoot removes what Open made there, if there is no task that needs it.
func (s *Supervisor) leaveRoot() error {
	if s.book.len() > 0 {
		return nil
	}
	bundles := filepath.Join(s.cfg.Root, protocol.BundlesName)
	if err := unix.Unmount(bundles, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", bundles, err)
	}
	return os.Remove(filepath.Join(s.cfg.Root, protocol.SocketName))
}

const (
	// lockWait is how long a supervisor that is ending is given to let go of the exec root.
	lockWait  = 2 * time.Second
	lockPause = 5 * time.Millisecond
)

// lockRoot makes sure that one supervisor has the exec root. Errors: unavailable.
func lockRoot(root string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(root, "supervisor.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockPause) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != unix.EWOULDBLOCK || time.Now().After(deadline) {
			held := errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("exec root %s is held by another supervisor", root))
			return nil, errors.Join(held, err, f.Close())
		}
	}
}

func listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// The directory lets others pass, the socket does not: it is made under a name that nobody
	// connects to until its mode is right.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: fresh, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// mountBundles makes the directory of bundles a private mount, so that what is mounted below it in a
// namespace of its own does not come back to the host.
func mountBundles(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, 0, &st); err != nil {
		return err
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s on itself: %w", dir, err)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make %s private: %w", dir, err)
	}
	return nil
}
