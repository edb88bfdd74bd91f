package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"gantry/internal/inroot"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// capability is the one extended attribute that goes into a tar: without it, programs lose what they may do.
const capability = "security.capability"

// packer writes files to a tar. The tree may change meanwhile: what is gone is left out, a file that shrinks is
// filled with zeros, and one that grows is cut, as tar(1) does.
type packer struct {
	tar *tar.Writer
	buf *bufio.Writer
	ids user.IdentityMapping
	// links has the name of every file with several names that is in the tar already.
	links map[inode]string
	copy  []byte
}

type inode struct{ dev, ino uint64 }

func newPacker(w io.Writer, ids user.IdentityMapping) *packer {
	buf := bufio.NewWriterSize(w, 64<<10)
	return &packer{tar: tar.NewWriter(buf), buf: buf, ids: ids, links: map[inode]string{}, copy: make([]byte, 128<<10)}
}

func (p *packer) close() error { return errors.Join(p.tar.Close(), p.buf.Flush()) }

// addRoot adds what is in a directory, under names relative to it, but not the directory.
func (p *packer) addRoot(ctx context.Context, root *os.File) error {
	return p.children(ctx, root, "", "")
}

// add adds a file, or a directory with everything in it, under a name. "" is the root: its entries start with a slash.
func (p *packer) add(ctx context.Context, start *os.File, name string) error {
	isDir, err := p.entry(ctx, start, name)
	if err != nil || !isDir {
		return err
	}
	return p.children(ctx, start, "", name+"/")
}

// children adds the entries of start's directory rel. Every directory is opened from start, so that
// the depth of the tree costs neither descriptors nor trust.
func (p *packer) children(ctx context.Context, start *os.File, rel, prefix string) error {
	dir, names, err := list(start, rel)
	if err != nil {
		return gone(err)
	}
	var below []string
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, dir.Close())
		}
		isDir, err := p.child(ctx, dir, name, prefix+name)
		if err != nil {
			return errors.Join(err, dir.Close())
		}
		if !isDir {
			continue
		}
		below = append(below, name)
	}
	if err := dir.Close(); err != nil {
		return err
	}
	for _, name := range below {
		if err := p.children(ctx, start, path.Join(rel, name), prefix+name+"/"); err != nil {
			return err
		}
	}
	return nil
}

// list returns the names in a directory in order. Links are not followed.
func list(start *os.File, rel string) (*os.File, []string, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	if rel == "" {
		rel = "."
	}
	fd, err := unix.Openat2(int(start.Fd()), rel, &how)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: rel, Err: err}
	}
	dir := os.NewFile(uintptr(fd), rel)
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, nil, errors.Join(err, dir.Close())
	}
	slices.Sort(names)
	return dir, names, nil
}

func (p *packer) child(ctx context.Context, dir *os.File, name, as string) (isDir bool, err error) {
	f, err := inroot.At(dir, name, unix.O_PATH, 0)
	if err != nil {
		return false, gone(err)
	}
	isDir, err = p.entry(ctx, f, as)
	return isDir, errors.Join(err, f.Close())
}

// entry adds one file, which is open with O_PATH.
func (p *packer) entry(ctx context.Context, f *os.File, name string) (isDir bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, err
	}
	h, err := p.header(f, &st, name)
	if err != nil || h == nil {
		return false, gone(err)
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return false, p.file(ctx, f, h)
	case tar.TypeDir:
		isDir = true
	}
	return isDir, p.tar.WriteHeader(h)
}

// header describes a file; nil for a socket, which no tar can hold. No names are looked up: those of
// the host's users mean nothing in the container.
func (p *packer) header(f *os.File, st *unix.Stat_t, name string) (*tar.Header, error) {
	uid, gid, err := p.ids.ToContainer(int(st.Uid), int(st.Gid))
	if err != nil {
		return nil, err
	}
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: uid, Gid: gid, Format: tar.FormatPAX,
		ModTime: time.Unix(st.Mtim.Sec, 0), // whole seconds, so that equal trees are equal tars
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
		h.Name = strings.TrimSuffix(name, "/") + "/"
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		h.Linkname, err = inroot.Target(f)
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	default:
		return nil, nil
	}
	if st.Nlink > 1 && h.Typeflag != tar.TypeDir {
		key := inode{uint64(st.Dev), st.Ino}
		if first, ok := p.links[key]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		} else {
			p.links[key] = name
		}
	}
	return h, err
}

func (p *packer) file(ctx context.Context, f *os.File, h *tar.Header) error {
	open, err := inroot.Reopen(f, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return gone(err)
	}
	var value [64]byte // more than a capability takes
	if n, err := unix.Fgetxattr(int(open.Fd()), capability, value[:]); err == nil {
		h.PAXRecords = map[string]string{xattrPrefix + capability: string(value[:n])}
	}
	err = p.tar.WriteHeader(h)
	if err == nil {
		err = p.content(ctx, open, h.Size)
	}
	return errors.Join(err, open.Close())
}

// content copies exactly size bytes.
func (p *packer) content(ctx context.Context, f *os.File, size int64) error {
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf := p.copy[:min(int64(len(p.copy)), size)]
		n, err := f.Read(buf)
		if err == io.EOF {
			clear(buf)
			n, err = len(buf), nil
		}
		if err != nil {
			return err
		}
		if _, err := p.tar.Write(buf[:n]); err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// gone makes nothing of what disappeared or was replaced while the tree was read.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ESTALE) {
		return nil
	}
	return err
}
