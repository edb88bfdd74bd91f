package detach

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxValue is the longest value of fsconfig(2), with its final zero byte.
const maxValue = 256

// fsContext is an overlay file system under construction.
type fsContext struct {
	fd   int
	held []*os.File // directories whose path is longer than a value can be
}

// newAPI mounts by fsopen(2), which takes any number of directories of any length. Since Linux 6.7.
func newAPI(l Layers) (*os.File, error) {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen overlay", err)
	}
	c := &fsContext{fd: fd}
	root, err := c.mount(l)
	return root, errors.Join(err, c.close())
}

func (c *fsContext) close() error {
	err := unix.Close(c.fd)
	for _, f := range c.held {
		err = errors.Join(err, f.Close())
	}
	return err
}

func (c *fsContext) mount(l Layers) (*os.File, error) {
	if err := c.set("source", "overlay"); err != nil {
		return nil, err
	}
	for _, dir := range l.Lower {
		if err := c.setDir("lowerdir+", dir); err != nil {
			return nil, err
		}
	}
	if l.Upper != "" {
		if err := errors.Join(c.setDir("upperdir", l.Upper), c.setDir("workdir", l.Work)); err != nil {
			return nil, err
		}
	}
	for _, o := range l.Options {
		key, value, hasValue := strings.Cut(o, "=")
		err := c.set(key, value)
		if !hasValue {
			err = c.wrap(unix.FsconfigSetFlag(c.fd, key), key)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := c.wrap(unix.FsconfigCreate(c.fd), "create"); err != nil {
		return nil, err
	}
	attrs := 0
	if l.Upper == "" {
		attrs = unix.MOUNT_ATTR_RDONLY
	}
	root, err := unix.Fsmount(c.fd, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, c.wrap(err, "fsmount")
	}
	return os.NewFile(uintptr(root), "overlay"), nil
}

func (c *fsContext) set(key, value string) error {
	return c.wrap(unix.FsconfigSetString(c.fd, key, value), key)
}

func (c *fsContext) setDir(key, dir string) error {
	if len(dir) < maxValue {
		return c.wrap(unix.FsconfigSetString(c.fd, key, dir), key+" "+dir)
	}
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	c.held = append(c.held, f)
	return c.wrap(unix.FsconfigSetString(c.fd, key, fmt.Sprintf("/proc/self/fd/%d", f.Fd())), key+" "+dir)
}

// wrap adds what the kernel says about the failure: messages are read from the context, fsopen(2).
func (c *fsContext) wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	buf := make([]byte, 1024)
	n, readErr := unix.Read(c.fd, buf)
	if readErr != nil || n <= 0 {
		return fmt.Errorf("overlay: %s: %w", what, err)
	}
	return fmt.Errorf("overlay: %s: %w: %s", what, err, strings.TrimSpace(string(buf[:n])))
}

func closeAfter(f *os.File, err error) error { return errors.Join(err, f.Close()) }
