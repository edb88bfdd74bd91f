package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"gantry/internal/fault"
	"gantry/internal/inroot"
	"gantry/storage/detach"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
)

// mountPoint is a place that exists in every container.
type mountPoint struct {
	name string
	kind uint32 // of mknod(2)
	link string // target of a symbolic link
}

// mountPoints are the places that exist in every container, whatever the image has: what the runtime mounts
// over. dockerd makes the same ones, and `docker diff` does not show them.
var mountPoints = [...]mountPoint{
	{"/dev/pts", unix.S_IFDIR, ""},
	{"/dev/shm", unix.S_IFDIR, ""},
	{"/proc", unix.S_IFDIR, ""},
	{"/sys", unix.S_IFDIR, ""},
	{"/.dockerenv", unix.S_IFREG, ""},
	{"/etc/resolv.conf", unix.S_IFREG, ""},
	{"/etc/hosts", unix.S_IFREG, ""},
	{"/etc/hostname", unix.S_IFREG, ""},
	{"/dev/console", unix.S_IFREG, ""},
	{"/etc/mtab", unix.S_IFLNK, "/proc/mounts"},
}

// initLayer returns the name of the snapshot that rw layers on chain stand on, and makes it if it is
// not there. It lives as long as the chain: a back reference says so to the collector.
func (s *chains) initLayer(ctx context.Context, chain ChainID) (string, error) {
	name := string(chain) + "-init"
	if _, err := s.snapshots.Stat(ctx, name); err == nil || !errdefs.IsNotFound(err) {
		return name, err
	}
	s.initLayers.Lock()
	defer s.initLayers.Unlock()
	if _, err := s.snapshots.Stat(ctx, name); err == nil || !errdefs.IsNotFound(err) {
		return name, err
	}
	err := s.During(ctx, func(ctx context.Context) error { return s.makeInitLayer(ctx, chain, name) })
	if errdefs.IsNotFound(err) {
		return "", errdefs.ErrNotFound.WithMessage(fmt.Sprintf("layers %s are not unpacked here", chain))
	}
	return name, err
}

func (s *chains) makeInitLayer(ctx context.Context, chain ChainID, name string) (err error) {
	key := "init-" + uuid.NewString()
	m, err := s.snapshots.Prepare(ctx, key, string(chain))
	if err != nil {
		return err
	}
	root, err := detach.Open(m)
	if err == nil {
		err = errors.Join(makeMountPoints(root), syncRoot(root), root.Close())
	}
	if err != nil {
		return errors.Join(err, s.snapshots.Remove(ctx, key))
	}
	fault.Point("storage.init.files")
	labels := map[string]string{"containerd.io/gc.bref.snapshot." + s.name: string(chain)}
	if chain == "" {
		labels = map[string]string{"containerd.io/gc.root": time.Now().UTC().Format(time.RFC3339)}
	}
	return s.snapshots.Commit(ctx, name, key, snapshots.WithLabels(labels))
}

// syncRoot makes the files of a detached mount durable. The mount's own descriptor cannot: it is an O_PATH one.
func syncRoot(root *os.File) error {
	f, err := inroot.Open(root, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}

// makeMountPoints makes what is missing. What the image has stays as it is.
func makeMountPoints(root *os.File) error {
	for _, p := range mountPoints {
		if f, err := inroot.Open(root, p.name, unix.O_PATH|unix.O_NOFOLLOW, 0); err == nil {
			if err := f.Close(); err != nil {
				return err
			}
			continue
		}
		dir, _, err := inroot.MkdirAll(root, path.Dir(p.name), 0o755, 0, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(makeAt(dir, path.Base(p.name), p.kind, p.link), dir.Close()); err != nil {
			return fmt.Errorf("make %s in the container's root: %w", p.name, err)
		}
	}
	return nil
}

func makeAt(dir *os.File, name string, kind uint32, link string) error {
	switch kind {
	case unix.S_IFDIR:
		return unix.Mkdirat(int(dir.Fd()), name, 0o755)
	case unix.S_IFLNK:
		return unix.Symlinkat(link, int(dir.Fd()), name)
	}
	// mode 0755 for files: what dockerd's are
	return unix.Mknodat(int(dir.Fd()), name, kind|0o755, 0)
}
