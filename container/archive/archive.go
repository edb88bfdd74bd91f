// Package archive copies files into and out of containers.
//
// It sees a container's root file system with its volumes and binds on top, as the container does
// when it runs, but nothing that the container mounted itself, no /proc, /dev or tmpfs: a view (view.go)
// is a mount namespace that holds only these. Paths are resolved in it by descriptor
// (openat2(2) with RESOLVE_IN_ROOT), so that no link leads outside, however often the container
// changes it meanwhile; read-only mounts are read-only to the kernel. Nothing of the container is executed, no host
// program is started, and compression is undone in this process.
package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/go-archive"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// What this room needs of its neighbours.
type (
	// Containers finds a container's record by name, ID or prefix. Errors: not found.
	Containers interface {
		Record(ref string) (*record.Container, error)
	}

	// Layers shows the root file systems of containers that do not run.
	Layers interface {
		Root(ctx context.Context, id string) (*os.File, error)
		Changes(ctx context.Context, id string) ([]archive.Change, error)
	}

	// Volumes makes the data of volumes available.
	Volumes interface {
		Mount(ctx context.Context, name, user string) (path string, err error)
		Unmount(ctx context.Context, name, user string) error
	}
)

// Config is what the room stands on.
type Config struct {
	Containers Containers
	Layers     Layers
	Volumes    Volumes
	Dir        string               // data root's containers directory: hosts, hostname and resolv.conf
	IDs        user.IdentityMapping // userns-remap
	// Told hears of what was done: archive-path, extract-to-dir, export. May be nil.
	Told func(c *record.Container, action events.Action)
}

// Service reaches the file systems of containers, running or not. Safe for concurrent use.
type Service struct{ cfg Config }

// New makes a service. It holds nothing.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// Stat describes one path; a link at its end is not followed, unless the path ends in a
// slash. Errors: not found ("Could not find the file /x in container web"), invalid argument (a file taken for a directory).
func (s *Service) Stat(ctx context.Context, ref, name string) (*container.PathStat, error) {
	c, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	v, err := s.open(ctx, c)
	if err != nil {
		return nil, err
	}
	stat, err := v.stat(name)
	return stat, errors.Join(pathError(err, name, ref), v.close(ctx))
}

// CopyFrom returns a tar of path, and its stat. The reader must be closed. A directory's entries are named by its base:
// of /srv/app it is app/..., of /srv/app/. it is ./... Errors: those of Stat.
func (s *Service) CopyFrom(ctx context.Context, ref, name string) (io.ReadCloser, *container.PathStat, error) {
	c, err := s.find(ref)
	if err != nil {
		return nil, nil, err
	}
	v, err := s.open(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	stat, err := v.stat(name)
	if err != nil {
		return nil, nil, errors.Join(pathError(err, name, ref), v.close(ctx))
	}
	start, err := v.openAt(name)
	if err != nil {
		return nil, nil, errors.Join(pathError(err, name, ref), v.close(ctx))
	}
	s.told(c, events.ActionArchivePath)
	base := path.Base(keepTrailing(name))
	return s.stream(ctx, v, func(ctx context.Context, p *packer) error {
		return errors.Join(p.add(ctx, start, strings.TrimPrefix(base, "/")), start.Close())
	}), stat, nil
}

// CopyToOptions of PUT /containers/{id}/archive.
type CopyToOptions struct {
	NoOverwriteDirNonDir bool
	CopyUIDGID           bool
}

// CopyTo extracts a tar, compressed or not, into the directory path. Errors: not found; invalid argument (not a
// directory, a tar that leads outside, an overwrite that the options forbid); permission denied ("container rootfs is marked
// read-only", "mounted volume is marked read-only").
func (s *Service) CopyTo(ctx context.Context, ref, name string, tar io.Reader, o CopyToOptions) error {
	c, err := s.find(ref)
	if err != nil {
		return err
	}
	v, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	if err := v.checkTarget(name); err != nil {
		return errors.Join(pathError(err, name, ref), v.close(ctx))
	}
	err = v.extract(ctx, c, name, tar, o, s.cfg.IDs)
	if err == nil {
		s.told(c, events.ActionExtractToDir)
	}
	return errors.Join(err, v.close(ctx))
}

// Export returns the whole root file system as a tar, without what is mounted over it. The reader must be closed.
func (s *Service) Export(ctx context.Context, ref string) (io.ReadCloser, error) {
	c, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	root, err := s.root(ctx, c)
	if err != nil {
		return nil, err
	}
	v := &view{root: root}
	s.told(c, events.ActionExport)
	return s.stream(ctx, v, func(ctx context.Context, p *packer) error { return p.addRoot(ctx, root) }), nil
}

// Changes is docker diff.
func (s *Service) Changes(ctx context.Context, ref string) ([]container.FilesystemChange, error) {
	c, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	changes, err := s.cfg.Layers.Changes(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	out := make([]container.FilesystemChange, len(changes))
	for i, change := range changes {
		out[i] = container.FilesystemChange{Path: change.Path, Kind: container.ChangeType(change.Kind)}
	}
	return out, nil
}

func (s *Service) find(ref string) (*record.Container, error) {
	c, err := s.cfg.Containers.Record(ref)
	if err != nil {
		return nil, err
	}
	if c.Status == record.Removing || c.Status == record.Dead {
		return nil, errdefs.ErrConflict.WithMessage("container " + c.ID + " is marked for removal and its files cannot be reached")
	}
	return c, nil
}

func (s *Service) told(c *record.Container, action events.Action) {
	if s.cfg.Told != nil {
		s.cfg.Told(c, action)
	}
}

// keepTrailing cleans a path as if it were absolute, but for a final slash or dot: they say that
// it is a directory, whose contents are meant.
func keepTrailing(name string) string {
	clean := path.Clean("/" + name)
	switch {
	case strings.HasSuffix(name, "/.") || name == ".":
		return strings.TrimSuffix(clean, "/") + "/."
	case strings.HasSuffix(name, "/") && clean != "/":
		return clean + "/"
	}
	return clean
}

// pathError gives the class and text that clients know.
func pathError(err error, name, ref string) error {
	switch {
	case err == nil:
		return nil
	case errdefs.IsInvalidArgument(err) || errdefs.IsPermissionDenied(err) || errdefs.IsNotFound(err):
		return err
	case errors.Is(err, os.ErrNotExist):
		return errdefs.ErrNotFound.WithMessage("Could not find the file " + name + " in container " + ref)
	case errors.Is(err, unix.ENOTDIR):
		return errdefs.ErrInvalidArgument.WithMessage("not a directory")
	case errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, unix.EINVAL):
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return err
}
