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

	"gantry/internal/inroot"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

const (
	// xattrPrefix is that of extended attributes among PAX records.
	xattrPrefix = "SCHILY.xattr."
	// maxTimes bounds the directories whose time is set when all is written: beyond it, they have that of the extraction.
	maxTimes = 1 << 18
)

// unpackOptions say how.
type unpackOptions struct {
	noOverwriteDirNonDir bool
	owner                *[2]int // uid and gid of everything, instead of the tar's
	ids                  user.IdentityMapping
}

// unpacker extracts a tar below a directory of a root. Names in the tar are taken relative to the directory and must not
// lead out of it; links that are in their way are followed inside the root, as the container itself would.
type unpacker struct {
	unpackOptions
	root *os.File
	base string // the directory, a path in root
	buf  []byte

	// The parent of the last entry stays open: the next one is usually beside it.
	parentName string
	parent     *os.File
	dirs       []dirTime
}

type dirTime struct {
	name   string
	header *tar.Header
}

func unpack(ctx context.Context, root *os.File, base string, r io.Reader, o unpackOptions) (err error) {
	u := &unpacker{unpackOptions: o, root: root, base: base, buf: make([]byte, 128<<10)}
	defer func() { err = errors.Join(err, u.forget()) }()
	t := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if err == io.EOF {
			return u.setTimes()
		}
		if err != nil {
			return badStream(err)
		}
		if err := u.entry(ctx, h, t); err != nil {
			return err
		}
	}
}

// entry extracts one file.
func (u *unpacker) entry(ctx context.Context, h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := u.inside(h.Name)
	if err != nil {
		return err
	}
	isDir := h.Typeflag == tar.TypeDir
	if name == "." {
		if isDir {
			return nil // the directory itself keeps what it has
		}
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid name %q in tar", h.Name))
	}
	if h.Uid, h.Gid, err = u.ownerOf(h); err != nil {
		return err
	}
	dir, err := u.open(path.Dir(name))
	if err != nil {
		return fmt.Errorf("extract %s: %w", name, err)
	}
	base := path.Base(name)
	exists, err := u.makeRoom(dir, base, name, isDir)
	if err == nil {
		err = u.create(ctx, dir, base, name, exists, h, r)
	}
	if err != nil {
		if errdefs.IsInvalidArgument(err) {
			return err
		}
		return fmt.Errorf("extract %s: %w", name, err)
	}
	if isDir && len(u.dirs) < maxTimes {
		u.dirs = append(u.dirs, dirTime{name: name, header: &tar.Header{ModTime: h.ModTime, AccessTime: h.AccessTime}})
	}
	return nil
}

// inside makes a name of the tar relative to the directory. Errors: invalid argument, for one that leads out of it.
func (u *unpacker) inside(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(path.Clean(name), "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q is outside of %q", name, u.base))
	}
	return clean, nil
}

func (u *unpacker) ownerOf(h *tar.Header) (uid, gid int, err error) {
	uid, gid = h.Uid, h.Gid
	if u.owner != nil {
		uid, gid = u.owner[0], u.owner[1]
	}
	return u.ids.ToHost(uid, gid)
}

// open returns a directory below base, made if it is missing. It stays open until another is asked for.
func (u *unpacker) open(name string) (*os.File, error) {
	if u.parent != nil && u.parentName == name {
		return u.parent, nil
	}
	if err := u.forget(); err != nil {
		return nil, err
	}
	uid, gid := u.ids.RootPair()
	if u.owner != nil {
		var err error
		if uid, gid, err = u.ids.ToHost(u.owner[0], u.owner[1]); err != nil {
			return nil, err
		}
	}
	dir, _, err := inroot.MkdirAll(u.root, path.Join(u.base, name), 0o755, uid, gid)
	if err != nil {
		return nil, err
	}
	u.parent, u.parentName = dir, name
	return dir, nil
}

// forget closes the parent.
func (u *unpacker) forget() error {
	if u.parent == nil {
		return nil
	}
	err := u.parent.Close()
	u.parent = nil
	return err
}

// makeRoom removes what is in an entry's place. A directory stays for a directory. The parent that is open is
// never below that place: it is the place's own.
func (u *unpacker) makeRoom(dir *os.File, base, name string, isDir bool) (exists bool, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	wasDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case wasDir && isDir:
		return true, nil
	case u.noOverwriteDirNonDir && wasDir:
		return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cannot overwrite directory %q with non-directory %q", path.Join(u.base, name), u.base))
	case u.noOverwriteDirNonDir && isDir:
		return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cannot overwrite non-directory %q with directory %q", path.Join(u.base, name), u.base))
	}
	return false, removeAll(dir, base, 0)
}

// maxDepth bounds the descriptors that removing a tree takes.
const maxDepth = 1000

// removeAll removes a file, or a directory with everything in it, but nothing that a mount is on: no volume
// is emptied because its mount point is in the way. The kernel would not keep us from it: it refuses only the mount points
// of the caller's own namespace, and takes away those in others, the running container's among them.
func removeAll(dir *os.File, name string, depth int) error {
	f, err := sameMount(dir, name)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &st), f.Close()); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.Unlinkat(int(dir.Fd()), name, 0)
	}
	if depth == maxDepth {
		return unix.ENAMETOOLONG
	}
	sub, err := inroot.At(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	names, err := sub.Readdirnames(-1)
	for _, below := range names {
		if err == nil {
			err = removeAll(sub, below, depth+1)
		}
	}
	if err := errors.Join(err, sub.Close()); err != nil {
		return err
	}
	return unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
}

// sameMount opens a name in dir with O_PATH. Errors: EBUSY for a mount point, as unlink(2) says it.
func sameMount(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat2(int(dir.Fd()), name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV,
	})
	if err == unix.EXDEV {
		err = unix.EBUSY
	}
	if err != nil {
		return nil, &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// setTimes gives directories their times when nothing is written to them any more, the innermost first.
func (u *unpacker) setTimes() error {
	if err := u.forget(); err != nil {
		return err
	}
	for i := len(u.dirs) - 1; i >= 0; i-- {
		d := u.dirs[i]
		f, err := inroot.Open(u.root, path.Join(u.base, d.name), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue // a later entry took its place
		}
		if err := errors.Join(setTime(f, d.header), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
