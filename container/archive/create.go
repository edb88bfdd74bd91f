package archive

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

	"gantry/internal/inroot"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// create makes one file in dir, whose place is free unless it is a directory that exists.
func (u *unpacker) create(ctx context.Context, dir *os.File, base, name string, exists bool, h *tar.Header, r io.Reader) error {
	fd := int(dir.Fd())
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont, '\x00': // the last is how old tars mark a file
		return u.regular(ctx, dir, base, h, r)
	case tar.TypeLink:
		return u.link(dir, base, h)
	case tar.TypeSymlink:
		return u.symlink(fd, base, h)
	case tar.TypeDir:
		if !exists {
			if err := unix.Mkdirat(fd, base, 0o700); err != nil {
				return err
			}
		}
	case tar.TypeFifo:
		if err := unix.Mknodat(fd, base, unix.S_IFIFO|0o600, 0); err != nil {
			return err
		}
	case tar.TypeChar, tar.TypeBlock:
		kind := uint32(unix.S_IFCHR)
		if h.Typeflag == tar.TypeBlock {
			kind = unix.S_IFBLK
		}
		if h.Devmajor < 0 || h.Devminor < 0 || h.Devmajor > 0xfff || h.Devminor > 0xfffff { // the kernel's dev_t
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid device number %d:%d of %s in tar", h.Devmajor, h.Devminor, name))
		}
		if err := unix.Mknodat(fd, base, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
			return err
		}
	default:
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unhandled tar header type %q of %s", h.Typeflag, name))
	}
	made, err := inroot.At(dir, base, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	return errors.Join(attributes(made, h), made.Close())
}

func (u *unpacker) regular(ctx context.Context, dir *os.File, base string, h *tar.Header, r io.Reader) error {
	f, err := inroot.At(dir, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = u.content(ctx, f, r)
	if err == nil {
		err = attributes(f, h)
	}
	return errors.Join(err, f.Close())
}

func (u *unpacker) content(ctx context.Context, f *os.File, r io.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(u.buf)
		if n > 0 {
			if _, err := f.Write(u.buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return badStream(err)
		}
	}
}

// link makes a further name of a file that must be below the directory, too.
func (u *unpacker) link(dir *os.File, base string, h *tar.Header) (err error) {
	target, err := u.inside(h.Linkname)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid hardlink %q -> %q", h.Name, h.Linkname))
	}
	from, last, err := inroot.Parent(u.root, path.Join(u.base, target))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	// No flag: if the last part is a link, the new name is one more of that link.
	if err := unix.Linkat(int(from.Fd()), last, int(dir.Fd()), base, 0); err != nil {
		return &os.LinkError{Op: "link", Old: target, New: h.Name, Err: err}
	}
	return nil
}

func (u *unpacker) symlink(dir int, base string, h *tar.Header) error {
	if err := unix.Symlinkat(h.Linkname, dir, base); err != nil {
		return err
	}
	if err := unix.Fchownat(dir, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	times := timesOf(h)
	return unix.UtimesNanoAt(dir, base, times[:], unix.AT_SYMLINK_NOFOLLOW)
}

// attributes sets owner, mode, extended attributes and time, in this order: a new owner takes away the
// set-user-ID bit and capabilities. f is the file itself, maybe with O_PATH.
func attributes(f *os.File, h *tar.Header) error {
	name := inroot.Path(f)
	if err := unix.Fchownat(int(f.Fd()), "", h.Uid, h.Gid, unix.AT_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "chown", Path: h.Name, Err: err}
	}
	if err := unix.Chmod(name, uint32(h.Mode)&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: h.Name, Err: err}
	}
	for key, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, xattrPrefix)
		if !ok || !settable(attr) {
			continue
		}
		err := unix.Setxattr(name, attr, []byte(value), 0)
		if err != nil && err != unix.ENOTSUP && err != unix.EPERM { // not every file system, nor every kind of file, has them
			return &os.PathError{Op: "setxattr " + attr, Path: h.Name, Err: err}
		}
	}
	return setTime(f, h)
}

// settable lists the attributes that a tar may set. Others steer the kernel or storage drivers.
func settable(attr string) bool {
	return attr == capability || strings.HasPrefix(attr, "user.") ||
		attr == "system.posix_acl_access" || attr == "system.posix_acl_default"
}

func setTime(f *os.File, h *tar.Header) error {
	times := timesOf(h)
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, inroot.Path(f), times[:], 0); err != nil {
		return &os.PathError{Op: "utimes", Path: h.Name, Err: err}
	}
	return nil
}

// timesOf returns access and modification time. Tars without the former have the latter.
func timesOf(h *tar.Header) [2]unix.Timespec {
	access := h.AccessTime
	if access.IsZero() {
		access = h.ModTime
	}
	var out [2]unix.Timespec
	for i, t := range []time.Time{access, h.ModTime} {
		out[i] = unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
	}
	return out
}
