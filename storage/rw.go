package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gantry/internal/fault"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// CreateRW makes the rw layer of a container. Errors: not found (chain), already exists,
// not implemented (option that this driver or file system cannot serve).
func (s *Service) CreateRW(ctx context.Context, id string, parent ChainID, opts map[string]string) error {
	if err := s.checkRWOptions(opts); err != nil {
		return err
	}
	ctx = s.Context(ctx)
	base, err := s.initLayer(ctx, parent)
	if err != nil {
		return err
	}
	if s.driver.Copies() {
		// Copying must not hold up every other change of the metadata.
		return s.prepareLeased(ctx, id, base, func(fn func(context.Context) error) error { return fn(ctx) })
	}
	return s.prepareLeased(ctx, id, base, func(fn func(context.Context) error) error {
		s.collecting.RLock()
		defer s.collecting.RUnlock()
		return s.update(ctx, fn)
	})
}

// prepareLeased makes the lease and the snapshot; in one transaction if run says so.
func (s *Service) prepareLeased(ctx context.Context, id, base string, run func(func(context.Context) error) error) error {
	err := run(func(ctx context.Context) error {
		if _, err := s.leases.Create(ctx, leases.WithID(id)); err != nil && !errdefs.IsAlreadyExists(err) {
			return err
		}
		_, err := s.snapshots.Prepare(leases.WithLease(ctx, id), id, base)
		return err
	})
	if errdefs.IsAlreadyExists(err) {
		return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("container %s already has a writable layer", id))
	}
	if err != nil && s.driver.Copies() { // there was no transaction to roll back
		err = errors.Join(err, s.leases.Delete(context.WithoutCancel(ctx), leases.Lease{ID: id}))
	}
	fault.Point("storage.create.snapshot")
	return err
}

// RWLayers lists the IDs that have an rw layer, in no order. One whose container has no
// record is what a crash has left of its creation: the caller removes it.
func (s *Service) RWLayers(ctx context.Context) ([]string, error) {
	ctx = s.Context(ctx)
	all, err := s.leases.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range all {
		i, err := s.snapshots.Stat(ctx, l.ID)
		if err == nil && i.Kind == snapshots.KindActive {
			out = append(out, l.ID)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
	}
	return out, nil
}

// checkRWOptions refuses what no driver here can do, in dockerd's words.
func (s *Service) checkRWOptions(opts map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(opts)) {
		if k != "size" {
			return errdefs.ErrInvalidArgument.WithMessage("unknown storage option " + k)
		}
	}
	switch {
	case len(opts) == 0:
		return nil
	case s.driver.Copies():
		return errdefs.ErrNotImplemented.WithMessage("--storage-opt is not supported for " + s.name)
	}
	return errdefs.ErrNotImplemented.WithMessage("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
}

// RemoveRW removes it. A missing one is not an error. When it returns, the
// layer is gone for good; its files are deleted in the background.
func (s *Service) RemoveRW(ctx context.Context, id string) error {
	var key string
	err := s.update(s.Context(ctx), func(ctx context.Context) error {
		tx, ok := boltutil.Transaction(ctx)
		if !ok {
			return errors.New("no transaction")
		}
		key = s.driverKey(tx, id)
		return s.forgetRW(ctx, id, key)
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the writable layer of %s: %w", id, err)
	}
	fault.Point("storage.remove.metadata")
	if key != "" {
		s.reaper.add(key)
	}
	return nil
}

// errNothing rolls a transaction back that has changed nothing, which saves its fsyncs.
var errNothing = errors.New("nothing to change")

func (s *Service) forgetRW(ctx context.Context, id, key string) error {
	leaseErr := s.leases.Delete(ctx, leases.Lease{ID: id})
	if leaseErr != nil && !errdefs.IsNotFound(leaseErr) {
		return leaseErr
	}
	if key == "" && leaseErr != nil {
		return errNothing
	}
	if err := s.snapshots.Remove(ctx, id); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}
