package enter

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal of the container's own. The path may lead to anything there: it is opened for use only when
// it is known to be the multiplexer, character device 5:2, of a devpts.
func (a *attempt) openTerminal() (err error) {
	at, err := a.inside("dev/pts/ptmx")
	if err != nil {
		return fmt.Errorf("%w: open terminal: %w", ErrUnsupported, err)
	}
	defer func() { _ = unix.Close(at) }() // it was only looked at
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := unix.Fstat(at, &st); err != nil {
		return err
	}
	if err := unix.Fstatfs(at, &fs); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 2) || fs.Type != unix.DEVPTS_SUPER_MAGIC {
		return &Refused{Words: "/dev/pts/ptmx of the container is not a terminal multiplexer"}
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", at), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("%w: open terminal: %w", ErrUnsupported, err)
	}
	a.terminal = os.NewFile(uintptr(fd), "terminal")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("%w: unlock terminal: %w", ErrUnsupported, err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return fmt.Errorf("%w: open terminal: %w", ErrUnsupported, errno)
	}
	a.slave = os.NewFile(peer, "terminal")
	if err := unix.Fchown(int(peer), int(a.Process.User.UID), -1); err != nil {
		return fmt.Errorf("%w: give terminal to its user: %w", ErrUnsupported, err)
	}
	return nil
}
