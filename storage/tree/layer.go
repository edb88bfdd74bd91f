package tree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moby/go-archive"
)

// whiteoutPrefix marks a removed name: opencontainers image-spec, layer.md.
const whiteoutPrefix = ".wh."

// WriteLayer writes the changes, which must be sorted by path, as the tar of an
// image layer; dir is the changed tree. Sockets and what has vanished are left out.
func WriteLayer(ctx context.Context, w io.Writer, dir *os.File, changes []archive.Change) (err error) {
	l := layerWriter{ctx: ctx, tar: tar.NewWriter(w), parents: parents{root: dir}, links: map[uint64]string{}, buf: make([]byte, 1<<17)}
	defer func() { err = errors.Join(err, l.parents.close()) }()
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.Kind == archive.ChangeDelete {
			err = l.whiteout(c.Path)
		} else {
			err = ignoreMissing(l.file(c.Path))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
	}
	return l.tar.Close()
}

type layerWriter struct {
	ctx     context.Context // of one call
	tar     *tar.Writer
	parents parents
	links   map[uint64]string // first name of each inode with several links
	buf     []byte
}

func (l *layerWriter) whiteout(name string) error {
	dir, base := path.Split(strings.TrimPrefix(name, "/"))
	return l.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: dir + whiteoutPrefix + base, Format: tar.FormatPAX,
		ModTime: time.Unix(0, 0)})
}

func (l *layerWriter) file(name string) error {
	dir, base, err := l.parents.of(name)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := statAt(dir, base, &st); err != nil {
		return err
	}
	h := &tar.Header{
		Name: strings.TrimPrefix(name, "/"), Format: tar.FormatPAX, Mode: int64(st.Mode & 0o7777),
		Uid: int(st.Uid), Gid: int(st.Gid), ModTime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec), PAXRecords: records(dir, base),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		return l.tar.WriteHeader(h)
	case unix.S_IFSOCK:
		return nil
	}
	if st.Nlink > 1 {
		if first, ok := l.links[st.Ino]; ok {
			h.Typeflag, h.Linkname, h.PAXRecords = tar.TypeLink, first, nil
			return l.tar.WriteHeader(h)
		}
		l.links[st.Ino] = h.Name
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return l.regular(h, dir, base)
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		h.Linkname, err = readLinkAt(dir, base)
		if err != nil {
			return err
		}
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	return l.tar.WriteHeader(h)
}

// regular writes a file of the size that it has now; if it shrinks meanwhile, zeros fill the rest.
func (l *layerWriter) regular(h *tar.Header, dir *os.File, name string) (err error) {
	// O_NONBLOCK: a FIFO in the file's place must not stop us.
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, f.Close()) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil // replaced
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if err := l.tar.WriteHeader(h); err != nil {
		return err
	}
	// Without the file's own WriteTo, which would not use the buffer.
	n, err := io.CopyBuffer(l.tar, struct{ io.Reader }{io.LimitReader(f, st.Size)}, l.buf)
	clear(l.buf)
	for err == nil && n < st.Size {
		var m int
		m, err = l.tar.Write(l.buf[:min(int64(len(l.buf)), st.Size-n)])
		n += int64(m)
	}
	return err
}

// records keeps the extended attributes that mean something on another host: capabilities and the user's own.
func records(dir *os.File, name string) map[string]string {
	file := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
	buf := make([]byte, 1<<16) // XATTR_LIST_MAX, xattr(7)
	n, err := unix.Llistxattr(file, buf)
	if err != nil || n == 0 {
		return nil
	}
	out := map[string]string{}
	for _, attr := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		own := strings.HasPrefix(attr, "user.") && !strings.HasPrefix(attr, "user.overlay.")
		if attr == capabilityAttr || own {
			out["SCHILY.xattr."+attr] = attribute(dir, name, attr)
		}
	}
	return out
}

func readLinkAt(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	return string(buf[:max(n, 0)]), err
}

// parents opens the directories of successive paths, and keeps the last one open.
type parents struct {
	root *os.File
	name string // of dir
	dir  *os.File
}

// of returns the directory of a path, open until the next call, and the path's last part.
func (p *parents) of(name string) (*os.File, string, error) {
	dir, base := path.Split(name)
	dir = strings.Trim(dir, "/")
	if dir == "" {
		return p.root, base, nil
	}
	if p.dir != nil && p.name == dir {
		return p.dir, base, nil
	}
	fd, err := unix.Openat2(int(p.root.Fd()), dir, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, "", &os.PathError{Op: "open", Path: dir, Err: err}
	}
	err = p.close()
	p.name, p.dir = dir, os.NewFile(uintptr(fd), dir)
	return p.dir, base, err
}

func (p *parents) close() error {
	if p.dir == nil {
		return nil
	}
	d := p.dir
	p.dir = nil
	return d.Close()
}
