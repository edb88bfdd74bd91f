package image

import (
	"context"

	"gantry/internal/filter"

	api "github.com/moby/moby/api/types/image"
)

// Prune removes dangling images, or all unused ones with the filter dangling=false; bytes is what it
// freed. Errors: invalid argument (filter).
func (s *Service) Prune(ctx context.Context, f filter.Args) (deleted []api.DeleteResponse, bytes uint64, err error) {
	ctx = s.store.Context(ctx)
	if err := f.Validate("dangling", "label", "label!", "until"); err != nil {
		return nil, 0, err
	}
	danglingOnly, err := f.Bool("dangling", true)
	if err != nil {
		return nil, 0, err
	}
	until, err := untilTest(f)
	if err != nil {
		return nil, 0, err
	}
	labels := labelTest(f)
	all, err := s.shelf.entries(ctx)
	if err != nil {
		return nil, 0, err
	}
	before, err := s.store.Size(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range all {
		if danglingOnly && !e.dangling() || !until(e) || !labels(e) || len(s.holds.of(e.target.Digest.String())) > 0 {
			continue
		}
		var names []string
		for _, i := range e.names {
			names = append(names, i.Name)
		}
		gone, err := s.untag(ctx, e, names, false)
		deleted = append(deleted, gone...)
		if err != nil {
			return deleted, 0, err
		}
	}
	if err := s.store.Collect(ctx); err != nil {
		return deleted, 0, err
	}
	after, err := s.store.Size(ctx)
	if after < before {
		bytes = uint64(before - after)
	}
	s.journal.pruned(bytes)
	return deleted, bytes, err
}

// DiskUsage is the images' part of system df. Shared blobs and layers count once.
func (s *Service) DiskUsage(ctx context.Context, verbose bool) (*api.DiskUsage, error) {
	ctx = s.store.Context(ctx)
	all, err := s.shelf.entries(ctx)
	if err != nil {
		return nil, err
	}
	total, used := newParts(), newParts()
	out := &api.DiskUsage{TotalCount: int64(len(all))}
	for _, e := range all {
		p, err := s.shelf.partsOf(ctx, e.target, e.members)
		if err != nil {
			return nil, err
		}
		total.add(p)
		if len(s.holds.of(e.target.Digest.String())) > 0 {
			out.ActiveCount++
			used.add(p)
		}
	}
	out.TotalSize = total.total()
	out.Reclaimable = out.TotalSize - used.total()
	if verbose {
		out.Items, err = s.List(ctx, ListOptions{All: true, SharedSize: true})
	}
	return out, err
}
