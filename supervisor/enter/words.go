package enter

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// failure puts what the child met into the words of runc, which clients know. passed is the set of errors before the last.
func (a *attempt) failure(s step, errno unix.Errno, passed uint64) error {
	argv0 := a.Process.Args[0]
	if s.what == "exec" && passed&(1<<unix.EACCES) != 0 {
		errno = unix.EACCES // as execvp(3): something was found, which could not be executed
	}
	words := fmt.Sprintf("%s: %v", s.what, errno)
	switch {
	case s.slash != 0:
		words = "current working directory is outside of container mount namespace root -- possible container breakout detected"
	case s.what == "chdir":
		words = fmt.Sprintf("chdir to cwd (%q) set in config.json failed: %v", a.Process.Cwd, errno)
	case s.what != "exec":
	case (errno == unix.ENOENT || errno == unix.ENOTDIR) && !strings.Contains(argv0, "/"):
		words = fmt.Sprintf("exec: %q: executable file not found in $PATH", argv0)
	case errno == unix.ENOENT:
		words = fmt.Sprintf("exec: %q: stat %s: no such file or directory", argv0, argv0)
	case errno == unix.ENOTDIR:
		words = fmt.Sprintf("exec: %q: stat %s: not a directory", argv0, argv0)
	case errno == unix.EACCES && a.isDir(argv0):
		words = fmt.Sprintf("exec: %q: is a directory: permission denied", argv0)
	case errno == unix.EACCES:
		words = fmt.Sprintf("exec: %q: permission denied", argv0)
	default:
		words = fmt.Sprintf("exec %s: %v", argv0, errno)
	}
	return &Refused{Words: words}
}

func (a *attempt) isDir(path string) bool {
	fd, err := a.inside(path)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }() // it was only looked at
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}
