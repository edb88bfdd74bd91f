package storage

import (
	"context"
	"errors"
	"fmt"

	"gantry/internal/fault"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// Collect removes everything that no image, lease or snapshot refers to, and returns when it is gone.
func (s *Service) Collect(ctx context.Context) error {
	return s.reaper.collect(ctx)
}

// CollectSoon is Collect in the background, together with what else is to be removed.
func (s *Service) CollectSoon() { s.reaper.collectSoon() }

// recover puts in order what a killed daemon has left: the leases of its
// operations are deleted, so that what they made is collected, and the
// driver's snapshots that the metadata does not name are returned, children first.
func (s *Service) recover(ctx context.Context) (orphans []string, err error) {
	stale, err := s.leases.List(ctx, fmt.Sprintf("labels.%q", operationLabel))
	if err != nil {
		return nil, err
	}
	for _, l := range stale {
		if err := s.leases.Delete(ctx, leases.Lease{ID: l.ID}); err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
	}
	fault.Point("storage.open.leases")
	named, err := s.namedSnapshots()
	if err != nil {
		return nil, err
	}
	return unnamed(ctx, s.driver, named)
}

// unnamed lists the driver's snapshots that are not named and have no named descendant, children first.
func unnamed(ctx context.Context, d Driver, named map[string]bool) ([]string, error) {
	parents := map[string]string{}
	err := d.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		parents[i.Name] = i.Parent
		return nil
	})
	if err != nil && !errdefs.IsNotFound(err) { // a new database
		return nil, err
	}
	keep := map[string]bool{}
	for name := range parents {
		if !named[name] {
			continue
		}
		for ; name != "" && !keep[name]; name = parents[name] {
			keep[name] = true
		}
	}
	var out []string
	depth := func(name string) (n int) {
		for ; name != ""; name = parents[name] {
			n++
		}
		return n
	}
	for name := range parents {
		if !keep[name] {
			out = append(out, name)
		}
	}
	sortByDescending(out, depth)
	return out, nil
}

// removeFromDriver forgets snapshots in the driver and deletes their directories.
func (s *Service) removeFromDriver(ctx context.Context, keys []string) error {
	return errors.Join(s.driver.RemoveAll(ctx, keys), s.driver.Cleanup(ctx))
}
