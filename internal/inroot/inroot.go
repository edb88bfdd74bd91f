// Package inroot opens paths inside a directory as a process that has it for its
// root would: "..", absolute names and symbolic links never lead outside,
// whatever changes meanwhile (openat2(2) with RESOLVE_IN_ROOT).
package inroot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// retries bounds EAGAIN: openat2(2) gives up when a rename races with "..".
const retries = 32

// Open opens a path inside root with open(2) flags; mode is for O_CREAT. Magic links are refused.
func Open(root *os.File, name string, flags int, mode uint32) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&(unix.O_CREAT|unix.O_TMPFILE) != 0 {
		how.Mode = uint64(mode)
	}
	var fd int
	var err error
	for range retries {
		fd, err = unix.Openat2(int(root.Fd()), name, &how)
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// ReadFile reads a regular file of at most limit bytes. Errors: not exist, and a file that is larger or not regular.
func ReadFile(root *os.File, name string, limit int64) (_ []byte, err error) {
	// O_NONBLOCK: a FIFO put in place of the file must not stop us.
	f, err := Open(root, name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, err
}

// MkdirAll makes a directory and its missing parents, and returns it opened with O_PATH. Existing
// parts may be symbolic links; created ones belong to uid and gid. created tells whether
// the last part is new.
func MkdirAll(root *os.File, name string, mode uint32, uid, gid int) (dir *os.File, created bool, err error) {
	dir, err = Open(root, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, false, err
	}
	parts := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	if parts[0] == "" {
		return dir, false, nil
	}
	for i := range parts {
		// Always from the root: links in the path are relative to it.
		sub := strings.Join(parts[:i+1], "/")
		next, openErr := Open(root, sub, unix.O_PATH|unix.O_DIRECTORY, 0)
		created = false
		if errors.Is(openErr, unix.ENOENT) {
			next, created, openErr = makeIn(root, dir, sub, parts[i], mode, uid, gid)
		}
		closeErr := dir.Close()
		if err := errors.Join(openErr, closeErr); err != nil {
			return nil, false, err
		}
		dir = next
	}
	return dir, created, nil
}

func makeIn(root, parent *os.File, sub, name string, mode uint32, uid, gid int) (*os.File, bool, error) {
	err := unix.Mkdirat(int(parent.Fd()), name, mode)
	if err != nil && err != unix.EEXIST {
		return nil, false, &fs.PathError{Op: "mkdir", Path: sub, Err: err}
	}
	made := err == nil
	if made {
		if err := unix.Fchownat(int(parent.Fd()), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, false, &fs.PathError{Op: "chown", Path: sub, Err: err}
		}
		if err := unix.Fchmodat(int(parent.Fd()), name, mode, 0); err != nil { // the umask took bits away
			return nil, false, &fs.PathError{Op: "chmod", Path: sub, Err: err}
		}
	}
	dir, err := Open(root, sub, unix.O_PATH|unix.O_DIRECTORY, 0)
	return dir, made, err
}
