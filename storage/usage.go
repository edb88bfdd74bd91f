package storage

import (
	"context"
	"errors"
	"os"

	"gantry/storage/detach"
	"gantry/storage/tree"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// Usage returns bytes and inodes of the rw layer alone, without its parents. It walks
// the tree: O(files). Errors: not found. Safe while the container runs.
func (s *Service) Usage(ctx context.Context, id string) (bytes, inodes int64, err error) {
	if s.driver.Copies() {
		return s.changedUsage(ctx, id)
	}
	m, err := s.Mounts(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	layers, err := detach.ParseOverlay(m[0])
	if err != nil {
		return 0, 0, err
	}
	dir, err := os.Open(layers.Upper)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return tree.Usage(ctx, dir)
}

// ChainUsage returns the bytes of a chain with all its parents. Errors: not found.
func (s *chains) ChainUsage(ctx context.Context, chain ChainID) (int64, error) {
	ctx = s.Context(ctx)
	var total int64
	for name := string(chain); name != ""; {
		u, err := s.snapshots.Usage(ctx, name)
		if err != nil {
			return 0, err
		}
		total += u.Size
		if s.driver.Copies() {
			break
		}
		i, err := s.snapshots.Stat(ctx, name)
		if err != nil {
			return 0, err
		}
		name = i.Parent
	}
	return total, nil
}

// LayerUsage returns the bytes that the top layer of a chain adds to its parent. Errors: not found.
func (s *chains) LayerUsage(ctx context.Context, chain ChainID) (int64, error) {
	ctx = s.Context(ctx)
	u, err := s.snapshots.Usage(ctx, string(chain))
	if err != nil || !s.driver.Copies() {
		return u.Size, err
	}
	i, err := s.snapshots.Stat(ctx, string(chain))
	if err != nil || i.Parent == "" {
		return u.Size, err
	}
	below, err := s.snapshots.Usage(ctx, i.Parent)
	return max(0, u.Size-below.Size), err
}

// Size returns the bytes of all blobs and all unpacked layers: what images and containers' parents take on disk.
func (s *chains) Size(ctx context.Context) (int64, error) {
	ctx = s.Context(ctx)
	var total int64
	err := s.content.Walk(ctx, func(i content.Info) error {
		total += i.Size
		return nil
	})
	if err != nil {
		return 0, err
	}
	err = s.snapshots.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
		if i.Kind != snapshots.KindCommitted {
			return nil
		}
		u, err := s.snapshots.Usage(ctx, i.Name)
		if errdefs.IsNotFound(err) { // removed meanwhile
			return nil
		}
		total += u.Size
		return err
	})
	return total, err
}
