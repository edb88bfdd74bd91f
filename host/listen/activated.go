package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstFD is where systemd puts the sockets, sd_listen_fds(3).
const firstFD = 3

// openActivated takes systemd's sockets over: all of them, or the one that which names.
func openActivated(which string, getenv func(string) string) ([]Listener, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	names, err := activated(getenv, os.Getpid())
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no sockets found via socket activation: make sure the service was started by systemd")
	}
	var out []Listener
	for i, name := range names {
		fd := firstFD + i
		if which != "" && which != "*" && which != strconv.Itoa(fd) && which != name {
			continue
		}
		l, err := adopt(fd, name)
		if err != nil {
			return out, fmt.Errorf("socket %d of systemd: %w", fd, err)
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no systemd socket activation listener is called %s", which)
	}
	return out, nil
}

// activated returns the name of each socket, which may be empty, in order of the descriptors.
func activated(getenv func(string) string, pid int) ([]string, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil // they were meant for a parent
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1024 {
		return nil, fmt.Errorf("LISTEN_FDS: %q is not a number of sockets", getenv("LISTEN_FDS"))
	}
	names := make([]string, n)
	copy(names, strings.Split(getenv("LISTEN_FDNAMES"), ":"))
	return names, nil
}

func adopt(fd int, name string) (Listener, error) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	l, err := net.FileListener(f) // a duplicate: systemd's stays open for the next start
	if err != nil {
		return Listener{}, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the name is systemd's
	}
	return Listener{l, l.Addr().Network() + "://" + l.Addr().String()}, nil
}
