package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// socketMode lets root and the group in, nobody else.
const socketMode = 0o660

// openUnix puts a socket at path, in place of one that nobody listens on any more.
func openUnix(ctx context.Context, path string, cfg Config) ([]Listener, string, error) {
	gid, warning, err := lookupGroup(cfg)
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, "", err
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, "", err
	}
	l, err := bind(ctx, path, gid)
	if err != nil {
		return nil, "", err
	}
	return []Listener{{l, "unix://" + path}}, warning, nil
}

// bind makes the socket with its owner and mode, and then gives it its name: bind(2) takes the mode from the umask, which
// belongs to the whole process, so the socket begins in a directory that is this process's own.
func bind(ctx context.Context, path string, gid int) (_ net.Listener, err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".sock-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var config net.ListenConfig
	// By the descriptor, because an address has only 108 bytes, unix(7), and path may need them all.
	l, err := config.Listen(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/s", d.Fd()))
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the name is another by then
	inode, err := install(filepath.Join(dir, "s"), path, gid)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &named{Listener: l, path: path, inode: inode}, nil
}

// install gives a socket its owner, mode and name, and returns its inode number.
func install(private, path string, gid int) (inode uint64, err error) {
	if err := os.Chmod(private, socketMode); err != nil {
		return 0, err
	}
	if err := os.Chown(private, -1, gid); err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(private, &st); err != nil {
		return 0, err
	}
	return st.Ino, os.Rename(private, path)
}

// named removes its name when it is closed, unless somebody else's socket has it by then.
type named struct {
	net.Listener
	path  string
	inode uint64
}

// Addr is where clients find the socket, not where it began.
func (n *named) Addr() net.Addr { return &net.UnixAddr{Name: n.path, Net: "unix"} }

func (n *named) Close() error {
	if err := n.Listener.Close(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(n.path, &st); err != nil || st.Ino != n.inode {
		return nil
	}
	if err := os.Remove(n.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeStale makes way. Errors: somebody listens there; it is no socket.
func removeStale(ctx context.Context, path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	var d net.Dialer
	if c, err := d.DialContext(ctx, "unix", path); err == nil {
		return errors.Join(fmt.Errorf("listen unix %s: another process listens there", path), c.Close())
	}
	return os.Remove(path)
}

// lookupGroup finds a group by name or number.
func lookupGroup(cfg Config) (gid int, warning string, err error) {
	if cfg.Group == "" {
		return os.Getgid(), "", nil
	}
	if g, err := user.LookupGroup(cfg.Group); err == nil {
		gid, err = strconv.Atoi(g.Gid)
		return gid, "", err
	}
	if gid, err := strconv.Atoi(cfg.Group); err == nil && gid >= 0 {
		return gid, "", nil
	}
	if cfg.GroupOptional {
		return os.Getgid(), fmt.Sprintf("group %s not found: the socket is for root alone", cfg.Group), nil
	}
	return 0, "", fmt.Errorf("can't create unix socket: group %s not found", cfg.Group)
}
