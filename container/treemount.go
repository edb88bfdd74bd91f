package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gantry/container/record"
	"gantry/internal/inroot"
	"gantry/internal/undo"

	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"
)

// treeMountDir is where images and parts of volumes that a container has among its mounts are mounted on the host, one
// directory for each, in the container's directory. The runtime gets that path: what the container does inside a volume
// cannot make it mean anything else.
const treeMountDir = "mounts/trees"

// holdMountedImages resolves the images among the mounts to IDs and keeps them from being removed. Errors: invalid argument.
func (s *creator) holdMountedImages(ctx context.Context, c *Container, r *record.Container) error {
	for _, m := range r.Mounts {
		if m.Type != mount.TypeImage {
			continue
		}
		image, err := s.cfg.Images.Resolve(ctx, m.Source, nil)
		if err != nil { // not found would send the client to pull the container's own image
			return invalid(`invalid mount config for type "image": ` + err.Error())
		}
		if m.Source != image.ID { // a name: the record is not published yet
			m.Source = image.ID
		}
		release, err := s.cfg.Images.Hold(ctx, image.ID, holderOf(r))
		if err != nil {
			return err
		}
		c.keep(release)
	}
	return nil
}

// mountTrees mounts the images among the mounts, read-only, and the parts of volumes and images that are to be seen alone.
func (s *starter) mountTrees(ctx context.Context, p *prepared, u *undo.Stack) error {
	u.Push("unmount images and subpaths", func(context.Context) error { return unmountTrees(p.container) })
	for i := range p.sources {
		m := &p.sources[i]
		at := filepath.Join(p.container.dir, treeMountDir, strconv.Itoa(i))
		if m.point.Type == mount.TypeImage {
			if err := s.mountImage(ctx, m.point.Source, at); err != nil {
				return fmt.Errorf("mount image %s: %w", m.point.Source, err)
			}
			m.path = at
		}
		if sub := subpathOf(m.point); sub != "" {
			if err := mountSubpath(m, sub, at+"-part"); err != nil {
				return err
			}
		}
	}
	return nil
}

func subpathOf(m *record.MountPoint) string {
	switch {
	case m.Spec.VolumeOptions != nil:
		return m.Spec.VolumeOptions.Subpath
	case m.Spec.ImageOptions != nil:
		return m.Spec.ImageOptions.Subpath
	}
	return ""
}

// mountImage attaches the image's layers at a directory. The snapshot that shows them is released at once: what is mounted
// stays, and the container's hold keeps the layers.
func (s *starter) mountImage(ctx context.Context, id, at string) (err error) {
	image, err := s.cfg.Images.Resolve(ctx, id, nil)
	if err != nil {
		return err
	}
	if err := s.cfg.Images.Prepare(ctx, image); err != nil {
		return err
	}
	root, release, err := s.cfg.Storage.ViewRoot(ctx, image.Chain)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release(context.WithoutCancel(ctx))) }()
	readonly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(root.Fd()), "", unix.AT_EMPTY_PATH, &readonly); err != nil {
		return err
	}
	return attach(root, at)
}

// attach mounts a detached mount at a directory that is made for it.
func attach(tree *os.File, at string) error {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	return unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// mountSubpath mounts what lies inside of a source, which must not lead outside, and makes it the source.
func mountSubpath(m *mountSource, sub, at string) (err error) {
	fail := func(err error) error {
		name := "volume " + m.point.Name
		if m.point.Type == mount.TypeImage {
			name = "image " + m.point.Source
		}
		return fmt.Errorf("cannot access path %s in %s: %w", sub, name, err)
	}
	tree, err := os.Open(m.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	inside, err := inroot.Open(tree, sub, unix.O_PATH, 0)
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, inside.Close()) }()
	fd, err := unix.OpenTree(int(inside.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return fail(err)
	}
	part := os.NewFile(uintptr(fd), at)
	defer func() { err = errors.Join(err, part.Close()) }()
	if err := makeTarget(inside, at); err != nil {
		return err
	}
	m.path = at
	return unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// makeTarget makes what a file, or a directory, can be mounted on.
func makeTarget(source *os.File, at string) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return err
	}
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.Mkdir(at, 0o700)
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		return err
	}
	f, err := os.OpenFile(at, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// unmountTrees is safe where nothing is mounted.
func unmountTrees(c *Container) error {
	dir := filepath.Join(c.dir, treeMountDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
			errs = append(errs, fmt.Errorf("unmount %s: %w", at, err))
			continue
		}
		errs = append(errs, os.Remove(at))
	}
	return errors.Join(errs...)
}
