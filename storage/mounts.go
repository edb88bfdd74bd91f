package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"gantry/storage/detach"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
)

// Mounts returns what to mount to see the container's root file system. Errors: not found.
func (s *Service) Mounts(ctx context.Context, id string) (m []mount.Mount, err error) {
	m, err = s.snapshots.Mounts(s.Context(ctx), id)
	if errdefs.IsNotFound(err) {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s has no writable layer", id))
	}
	return m, err
}

// Root returns the container's root file system as a detached mount: a descriptor of its root directory that is
// attached nowhere and gone when the last descriptor is closed. While the container runs, use its own root.
func (s *Service) Root(ctx context.Context, id string) (*os.File, error) {
	m, err := s.Mounts(ctx, id)
	if err != nil {
		return nil, err
	}
	return detach.Open(m)
}

// View returns mounts that show a chain read-only, until release is called. Errors: not found.
func (s *chains) View(ctx context.Context, chain ChainID) (m []mount.Mount, release func(context.Context) error, err error) {
	return s.viewSnapshot(ctx, string(chain))
}

// ViewRoot is View as a detached mount.
func (s *chains) ViewRoot(ctx context.Context, chain ChainID) (*os.File, func(context.Context) error, error) {
	return s.viewRoot(ctx, string(chain))
}

func (s *chains) viewRoot(ctx context.Context, name string) (*os.File, func(context.Context) error, error) {
	m, release, err := s.viewSnapshot(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	f, err := detach.Open(m)
	if err != nil {
		return nil, nil, errors.Join(err, release(context.WithoutCancel(ctx)))
	}
	return f, func(ctx context.Context) error { return errors.Join(f.Close(), release(ctx)) }, nil
}

// viewSnapshot shows a committed snapshot by a view snapshot of its own, under the lease of an operation.
func (s *chains) viewSnapshot(ctx context.Context, name string) ([]mount.Mount, func(context.Context) error, error) {
	opCtx, done, err := s.Begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	key := "view-" + uuid.NewString()
	m, err := s.snapshots.View(opCtx, key, name)
	if err != nil {
		return nil, nil, errors.Join(err, done(context.WithoutCancel(ctx)))
	}
	release := func(ctx context.Context) error {
		return errors.Join(s.snapshots.Remove(s.Context(ctx), key), done(ctx))
	}
	return m, release, nil
}

// GraphDriver is what inspect shows of an rw layer: the driver and its directories.
func (s *Service) GraphDriver(ctx context.Context, id string) (name string, data map[string]string) {
	m, err := s.Mounts(ctx, id)
	if err != nil || len(m) != 1 {
		return s.name, nil
	}
	if m[0].Type == "bind" {
		return s.name, map[string]string{"Dir": m[0].Source}
	}
	l, err := detach.ParseOverlay(m[0])
	if err != nil {
		return s.name, nil
	}
	return s.name, map[string]string{"LowerDir": strings.Join(l.Lower, ":"), "UpperDir": l.Upper, "WorkDir": l.Work}
}
