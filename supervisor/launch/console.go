package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"gantry/internal/fdpass"

	"golang.org/x/sys/unix"
)

// pathSize is the longest path of a Unix socket: sun_path without its final zero, unix(7).
const pathSize = 107

// consoleSocket is where a runtime sends the master of the terminal that it has made.
type consoleSocket struct {
	dir      *os.File
	path     string // as the runtime is told
	file     string // as it really is
	listener *net.UnixListener
}

// listenConsole makes the socket in a directory of this process's own.
func listenConsole(dir string) (_ *consoleSocket, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.MkdirTemp(dir, "tty-")
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	c := &consoleSocket{dir: d, file: f}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	c.path = filepath.Join(f, "s")
	if len(c.path) > pathSize {
		// A path through the descriptor is short, and the runtime, as root, can follow it.
		fd, err := fdpass.Number(d)
		if err != nil {
			return nil, err
		}
		c.path = fmt.Sprintf("/proc/%d/fd/%d/%s/s", os.Getpid(), fd, filepath.Base(f))
	}
	c.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: c.path, Net: "unix"})
	return c, err
}

// receive waits for the master. It comes non-blocking and close-on-exec.
func (c *consoleSocket) receive(ctx context.Context) (_ *os.File, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.listener.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	conn, err := c.listener.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("runtime sent no terminal: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	name := make([]byte, unix.PathMax) // the terminal's name comes along
	_, files, err := fdpass.Receive(conn, name)
	if err != nil {
		return nil, fmt.Errorf("runtime sent no terminal: %w", err)
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("runtime sent %d descriptors for a terminal", len(files))
	}
	return pollable(files[0])
}

// pollable makes the runtime's descriptor one that a goroutine can wait for without a thread.
func pollable(f *os.File) (*os.File, error) {
	var fd int
	raw, err := f.SyscallConn()
	if err == nil {
		var dupErr error
		err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
		err = errors.Join(err, dupErr)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "terminal"), nil
}

func (c *consoleSocket) close() error {
	var errs []error
	if c.listener != nil {
		errs = append(errs, c.listener.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(c.file), c.dir.Close())...)
}
