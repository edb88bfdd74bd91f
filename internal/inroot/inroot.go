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
	"strconv"
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
	fd, err := open(root, name, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// At opens one name in a directory, never a link's target: name has one part.
func At(dir *os.File, name string, flags int, mode uint32) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS,
	}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	// RESOLVE_NO_SYMLINKS refuses a link even where O_PATH asks for the link itself.
	if flags&unix.O_PATH != 0 {
		how.Resolve &^= unix.RESOLVE_NO_SYMLINKS
	}
	fd, err := open(dir, name, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func open(dir *os.File, name string, how *unix.OpenHow) (fd int, err error) {
	for range retries {
		fd, err = unix.Openat2(int(dir.Fd()), name, how)
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

// Parent opens the directory that name is in, with O_PATH, and returns the last part of name. Links on the way are
// followed inside root; the last part is not looked at. The root's own parent is the root, and its last part ".".
func Parent(root *os.File, name string) (dir *os.File, base string, err error) {
	name = path.Clean("/" + name)
	base = path.Base(name)
	if base == "/" {
		base = "."
	}
	dir, err = Open(root, path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	return dir, base, err
}

// maxLinks is the kernel's bound for one path, path_resolution(7), with room to spare.
const maxLinks = 255

// Evaluate returns the path that name stands for inside root, links followed, the last one too. Parts
// that do not exist are taken as they are, so that a dangling link has a target. It is text: what
// is opened by it may be something else by then.
func Evaluate(root *os.File, name string) (string, error) {
	at, rest := "/", strings.Split(name, "/")
	links := 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		next := path.Join(at, part) // takes ".." too
		target, err := Readlink(root, next)
		if err != nil {
			at = next // not a link, or not there
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "readlink", Path: name, Err: unix.ELOOP}
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// Readlink returns what a link says. Errors: not exist; invalid argument for what is not a link.
func Readlink(root *os.File, name string) (string, error) {
	link, err := Open(root, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	target, err := Target(link)
	return target, errors.Join(err, link.Close())
}

// Target returns what an open link says: one opened with O_PATH and O_NOFOLLOW.
func Target(link *os.File) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(link.Fd()), "", buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: link.Name(), Err: err}
	}
	return string(buf[:n]), nil
}

// Reopen opens the file itself that an O_PATH descriptor stands for, under no name that anybody could change.
func Reopen(f *os.File, flags int) (*os.File, error) {
	return os.OpenFile(Path(f), flags, 0)
}

// Path is a name of an open file for system calls that take no descriptor. It is valid while f is open.
func Path(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

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

// MkdirAll makes a directory and its missing parents, and returns it opened, at least with O_PATH. Existing
// parts may be symbolic links; created ones belong to uid and gid. created tells whether
// the last part is new.
func MkdirAll(root *os.File, name string, mode uint32, uid, gid int) (dir *os.File, created bool, err error) {
	name = path.Clean("/" + name)
	dir, err = Open(root, name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if !errors.Is(err, unix.ENOENT) {
		return dir, false, err // it is there, or cannot be: a name that is too long makes nothing
	}
	if dir, err = Open(root, ".", unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return nil, false, err
	}
	parts := strings.Split(name[1:], "/")
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

// makeIn touches what it made through a descriptor alone: whoever else works in the tree may have put
// something else under its name, and a link would be followed from the host's root.
func makeIn(root, parent *os.File, sub, name string, mode uint32, uid, gid int) (*os.File, bool, error) {
	err := unix.Mkdirat(int(parent.Fd()), name, mode)
	if err == unix.EEXIST {
		dir, err := Open(root, sub, unix.O_PATH|unix.O_DIRECTORY, 0)
		return dir, false, err
	}
	if err != nil {
		return nil, false, &fs.PathError{Op: "mkdir", Path: sub, Err: err}
	}
	dir, err := At(parent, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, false, err
	}
	if err := dir.Chown(uid, gid); err != nil {
		return nil, false, errors.Join(err, dir.Close())
	}
	if err := unix.Fchmod(int(dir.Fd()), mode); err != nil { // the umask took bits away
		return nil, false, errors.Join(&fs.PathError{Op: "chmod", Path: sub, Err: err}, dir.Close())
	}
	return dir, true, nil
}
