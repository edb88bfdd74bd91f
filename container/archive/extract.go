package archive

import (
	"context"
	"errors"
	"io"
	"os"

	"gantry/container/record"
	"gantry/container/spec"
	"gantry/internal/inroot"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// extract unpacks a stream into the directory that name leads to, a link at its end followed.
func (v *view) extract(ctx context.Context, c *record.Container, name string, r io.Reader, o CopyToOptions, ids user.IdentityMapping) (err error) {
	base := keepTrailing(name)
	how := unpackOptions{noOverwriteDirNonDir: o.NoOverwriteDirNonDir, ids: ids}
	if o.CopyUIDGID && c.Config.User != "" {
		u, _, err := spec.ResolveUser(v.root, c.Config.User, nil)
		if err != nil {
			return err
		}
		how.owner = &[2]int{int(u.UID), int(u.GID)}
	}
	plain, err := decompress(r)
	if err != nil {
		return err
	}
	return errors.Join(unpack(ctx, v.root, base, plain, how), plain.Close())
}

// checkTarget refuses what is not a directory, or read-only. The kernel would too, but in other words.
func (v *view) checkTarget(name string) error {
	dir, err := inroot.Open(v.root, keepTrailing(name), unix.O_PATH, 0)
	if err != nil {
		return err
	}
	return errors.Join(v.writable(dir), dir.Close())
}

func (v *view) writable(dir *os.File) error {
	st, err := dir.Stat()
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return errdefs.ErrInvalidArgument.WithMessage("extraction point is not a directory")
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &fs); err != nil {
		return err
	}
	if fs.Flags&unix.ST_RDONLY == 0 {
		return nil
	}
	here, err := mountID(dir)
	if err != nil {
		return err
	}
	root, err := mountID(v.root)
	if err != nil {
		return err
	}
	if here == root {
		return errdefs.ErrPermissionDenied.WithMessage("container rootfs is marked read-only")
	}
	return errdefs.ErrPermissionDenied.WithMessage("mounted volume is marked read-only")
}

func mountID(f *os.File) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	return st.Mnt_id, err
}
