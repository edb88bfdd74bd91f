package storage

import (
	"context"
	"errors"
	"os"

	"gantry/storage/detach"
	"gantry/storage/tree"
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
func (s *Service) ChainUsage(ctx context.Context, chain ChainID) (int64, error) {
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
func (s *Service) LayerUsage(ctx context.Context, chain ChainID) (int64, error) {
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
