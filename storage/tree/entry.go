package tree

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// capabilityAttr holds file capabilities, capabilities(7).
const capabilityAttr = "security.capability"

func statAt(dir *os.File, name string, st *unix.Stat_t) error {
	return unix.Fstatat(int(dir.Fd()), name, st, unix.AT_SYMLINK_NOFOLLOW)
}

func openDirAt(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// ignoreMissing drops the error of a file that was removed or replaced during the walk.
func ignoreMissing(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}

// isWhiteout: a character device 0/0 hides the name, kernel Documentation/filesystems/overlayfs.rst.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// isOpaque reports whether a directory of an upper layer hides what is below it.
func isOpaque(dir *os.File) bool {
	buf := make([]byte, 4)
	for _, attr := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		if n, err := unix.Fgetxattr(int(dir.Fd()), attr, buf); err == nil && n == 1 && buf[0] == 'y' {
			return true
		}
	}
	return false
}

// attribute reads an extended attribute of a file, without following it. "" if there is none.
func attribute(dir *os.File, name, attr string) string {
	// There is no getxattrat(2) before Linux 6.13: the directory is named by its descriptor.
	file := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
	buf := make([]byte, 256)
	for {
		n, err := unix.Lgetxattr(file, attr, buf)
		if err == unix.ERANGE && len(buf) < 1<<16 { // XATTR_SIZE_MAX, xattr(7)
			buf = make([]byte, 4*len(buf))
			continue
		}
		if err != nil {
			return ""
		}
		return string(buf[:n])
	}
}

func capability(dir *os.File, name string) string { return attribute(dir, name, capabilityAttr) }
