package join

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal of the container's own, in whose mount namespace this thread is, and returns the process's side of it.
func openTerminal(r Request) (slave *os.File, err error) {
	// What the container has at that path is the container's to choose: no link is followed, and only a terminal multiplexer is used.
	fd, err := unix.Openat2(unix.AT_FDCWD, "/dev/pts/ptmx", &unix.OpenHow{
		Flags: unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &Refused{fmt.Sprintf("open /dev/pts/ptmx of the container: %v", err)}
	}
	master := os.NewFile(uintptr(fd), "terminal")
	defer func() {
		if err != nil {
			err = errors.Join(err, master.Close())
		}
	}()
	if err := checkMultiplexer(fd); err != nil {
		return nil, err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	if size := r.Process.ConsoleSize; size != nil {
		err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)})
		if err != nil {
			return nil, fmt.Errorf("set the terminal's size: %w", err)
		}
	}
	// The other side is asked of the descriptor, not looked up by its name.
	other, err := peer(fd)
	if err != nil {
		return nil, fmt.Errorf("open the terminal's other side: %w", err)
	}
	slave = os.NewFile(uintptr(other), "terminal's other side")
	if err := slave.Chown(int(r.Process.User.UID), -1); err != nil {
		return nil, errors.Join(err, slave.Close())
	}
	*r.Terminal = master
	return slave, nil
}

// peer is TIOCGPTPEER, ioctl_tty(2), whose argument are the flags of open.
func peer(master int) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// checkMultiplexer refuses what is no multiplexer of a devpts file system: its device is 5:2, pts(4).
func checkMultiplexer(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 2) || fs.Type != unix.DEVPTS_SUPER_MAGIC {
		return &Refused{"/dev/pts/ptmx of the container is not a terminal multiplexer"}
	}
	return nil
}
