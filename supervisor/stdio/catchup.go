package stdio

import (
	"os"

	"golang.org/x/sys/unix"
)

// catchUpSize is how far a subscriber may be behind on disk, in bytes.
const catchUpSize = 64 << 20

// catchUp is a file without a name that holds what a subscriber has yet to read.
type catchUp struct {
	file          *os.File
	taken, stored int64 // offsets: read up to, written up to
}

func newCatchUp(dir string) (*catchUp, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &catchUp{file: os.NewFile(uintptr(fd), "catch-up")}, nil
}

func (c *catchUp) unread() int64 { return c.stored - c.taken }

// append stores two pieces as one, or reports false: there is no room.
func (c *catchUp) append(header, data []byte) bool {
	if c.stored+int64(len(header)+len(data)) > catchUpSize {
		return false
	}
	for _, p := range [][]byte{header, data} {
		n, err := c.file.WriteAt(p, c.stored)
		if err != nil {
			return false
		}
		c.stored += int64(n)
	}
	return true
}

// read takes what comes next into buf, and gives the file's room back when it has all been taken.
func (c *catchUp) read(buf []byte) (n int, err error) {
	n, err = c.file.ReadAt(buf[:min(c.unread(), int64(len(buf)))], c.taken)
	if err != nil {
		return n, err
	}
	if c.taken += int64(n); c.taken == c.stored {
		c.taken, c.stored = 0, 0
		err = c.file.Truncate(0)
	}
	return n, err
}

func (c *catchUp) close() error { return c.file.Close() }
