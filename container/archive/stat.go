package archive

import (
	"errors"
	"os"
	"path"
	"strings"

	"gantry/internal/inroot"

	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"
)

// stat is lstat(2) with Docker's fields: a link is described as such, with the path that it leads to in the end.
func (v *view) stat(name string) (*container.PathStat, error) {
	f, err := v.openAt(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	out := &container.PathStat{Name: path.Base(keepTrailing(name)), Size: info.Size(), Mode: info.Mode(), Mtime: info.ModTime()}
	if info.Mode()&os.ModeSymlink != 0 {
		out.LinkTarget, err = inroot.Evaluate(v.root, name)
	}
	return out, err
}

// openAt opens what a path names with O_PATH. A link at its end is opened itself, unless a slash or dot follows.
func (v *view) openAt(name string) (*os.File, error) {
	name = keepTrailing(name)
	flags := unix.O_PATH | unix.O_NOFOLLOW
	if name == "/" || strings.HasSuffix(name, "/") || strings.HasSuffix(name, "/.") {
		flags = unix.O_PATH | unix.O_DIRECTORY
	}
	return inroot.Open(v.root, name, flags, 0)
}
