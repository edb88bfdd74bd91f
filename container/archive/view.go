package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"gantry/container/record"
	"gantry/internal/inroot"

	"golang.org/x/sys/unix"
)

// view is a container's file system as cp sees it. It lives in a mount namespace in which there is nothing else and
// no process: the mounts stay as long as the namespace's descriptor is open, and nobody can reach them otherwise.
type view struct {
	root    *os.File // the root directory
	ns      *os.File // keeps the mounts below root; nil when there are none
	release []func(context.Context) error
}

// close is done whether ctx has ended or not.
func (v *view) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	err := v.root.Close()
	if v.ns != nil {
		err = errors.Join(err, v.ns.Close())
	}
	for _, release := range slices.Backward(v.release) {
		err = errors.Join(err, release(ctx))
	}
	return err
}

// open makes the view of a container with its volumes and binds.
func (s *Service) open(ctx context.Context, c *record.Container) (_ *view, err error) {
	root, err := s.root(ctx, c)
	if err != nil {
		return nil, err
	}
	v := &view{root: root}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close(ctx))
		}
	}()
	sources, err := s.sources(ctx, c, v)
	defer func() {
		for _, src := range sources {
			err = errors.Join(err, src.tree.Close())
		}
	}()
	if err != nil {
		return nil, err
	}
	readonly := c.HostConfig.ReadonlyRootfs
	switch {
	case len(sources) > 0:
		err = onThread(func() error { return s.assemble(v, sources, readonly) })
	case readonly:
		err = makeReadonly(root, false)
	}
	return v, err
}

// root returns a mount of the container's own root file system alone, attached nowhere.
func (s *Service) root(ctx context.Context, c *record.Container) (*os.File, error) {
	if !c.Up() {
		return s.cfg.Layers.Root(ctx, c.ID)
	}
	root, err := cloneRoot(c.Pid)
	if err != nil {
		return nil, fmt.Errorf("open the root of running container %s: %w", c.ID, err)
	}
	// Had the container ended before its root was opened, the pid could be another's.
	now, err := s.cfg.Containers.Record(c.ID)
	if err == nil && (now.Pid != c.Pid || now.Run != c.Run) {
		err = fmt.Errorf("container %s stopped meanwhile", c.ID)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// cloneRoot copies the mount of a process's root directory, without what is mounted below it. It is the same file
// system: mounting a container's overlay a second time would damage it.
func cloneRoot(pid int) (root *os.File, err error) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(process)) }()
	err = onThread(func() error {
		if err := foreign(pid); err != nil {
			return err
		}
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(process, unix.CLONE_NEWNS); err != nil {
			return err
		}
		root, err = openTree("/", false)
		return err
	})
	return root, err
}

// foreign refuses a process that has this process's mount namespace: no container has.
func foreign(pid int) error {
	var ours, theirs unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/mnt", &ours); err != nil {
		return err
	}
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/mnt", pid), &theirs); err != nil {
		return err
	}
	if ours.Dev == theirs.Dev && ours.Ino == theirs.Ino {
		return fmt.Errorf("process %d is not in a container", pid)
	}
	return nil
}

func openTree(name string, recursive bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, name, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func makeReadonly(tree *os.File, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(int(tree.Fd()), "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return &os.PathError{Op: "mount_setattr", Path: tree.Name(), Err: err}
	}
	return nil
}

// assemble moves the calling thread into a new mount namespace, puts the root and the sources together there and
// takes everything else out of it.
func (s *Service) assemble(v *view, sources []source, readonly bool) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("new mount namespace: %w", err)
	}
	ns, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	v.ns = ns
	// Slave: what the host unmounts from now on does not stay busy here, and nothing goes the other way.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separate the mounts from the host's: %w", err)
	}
	if err := move(v.root, unix.AT_FDCWD, "/"); err != nil {
		return err
	}
	for _, src := range sources {
		at, err := s.place(v.root, src, readonly)
		if err != nil {
			return err
		}
		if at == nil {
			continue
		}
		err = move(src.tree, int(at.Fd()), "")
		if err := errors.Join(err, at.Close()); err != nil {
			return fmt.Errorf("mount %s: %w", src.dest, err)
		}
	}
	if readonly {
		if err := makeReadonly(v.root, false); err != nil {
			return err
		}
	}
	return leaveHost(v.root)
}

// place opens where a source belongs. A start makes missing places; so does this, so that a container
// that never ran can be filled. Nil is a source that has no place, in the container neither: one of the
// other kind is there, or it would have to be made in a read-only root.
func (s *Service) place(root *os.File, src source, readonly bool) (*os.File, error) {
	at, err := inroot.Open(root, src.dest, unix.O_PATH, 0)
	if err == nil {
		st, err := at.Stat()
		if err == nil && st.IsDir() == src.directory {
			return at, nil
		}
		return nil, errors.Join(err, at.Close())
	}
	if !errors.Is(err, os.ErrNotExist) || readonly {
		return nil, nil
	}
	uid, gid := s.cfg.IDs.RootPair()
	dir := src.dest
	if !src.directory {
		dir = path.Dir(src.dest)
	}
	made, _, err := inroot.MkdirAll(root, dir, 0o755, uid, gid)
	if errors.Is(err, unix.EROFS) { // a read-only mount is in between
		return nil, nil
	}
	if err != nil || src.directory {
		return made, err
	}
	file, err := inroot.At(made, path.Base(src.dest), unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o755)
	if err != nil {
		return nil, errors.Join(err, made.Close())
	}
	if err := errors.Join(file.Chown(uid, gid), made.Close()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// leaveHost makes root the namespace's root and drops the host's mounts. Where that cannot be done, because the host runs from its
// initial RAM disk, they stay until the view is closed.
func leaveHost(root *os.File) error {
	if err := unix.Fchdir(int(root.Fd())); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return nil //nolint:nilerr // see above
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("drop the host's mounts: %w", err)
	}
	return nil
}

// move attaches a detached mount.
func move(tree *os.File, dir int, name string) error {
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH
	if name == "" {
		flags |= unix.MOVE_MOUNT_T_EMPTY_PATH
	}
	if err := unix.MoveMount(int(tree.Fd()), "", dir, name, flags); err != nil {
		return &os.PathError{Op: "move_mount", Path: tree.Name(), Err: err}
	}
	return nil
}
