package storage

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
)

// operationLabel marks the leases of operations, which mean nothing after the daemon that made them.
const operationLabel = "gantry.operation"

// operationLimit is when another engine on this data root may collect what an operation of a dead daemon has left.
const operationLimit = 24 * time.Hour

// Begin opens an operation: what is written to the stores with the returned
// context is not collected until done is called. By then it must be named by
// an image, or it goes. A daemon that dies ends its operations.
func (s *stores) Begin(ctx context.Context) (_ context.Context, done func(context.Context) error, err error) {
	ctx = s.Context(ctx)
	l, err := s.leases.Create(ctx, leases.WithID("operation-"+uuid.NewString()),
		leases.WithLabel(operationLabel, "true"), leases.WithExpiration(operationLimit))
	if err != nil {
		return nil, nil, err
	}
	done = func(ctx context.Context) error {
		err := s.leases.Delete(s.Context(ctx), leases.Lease{ID: l.ID})
		if errdefs.IsNotFound(err) {
			err = nil
		}
		return err
	}
	return leases.WithLease(ctx, l.ID), done, nil
}

// During runs fn as an operation.
func (s *stores) During(ctx context.Context, fn func(context.Context) error) error {
	opCtx, done, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(opCtx), done(context.WithoutCancel(ctx)))
}

// Transact runs fn in one transaction of the metadata: all changes that fn makes with its context to
// the stores become durable together, or none. fn must not read or write blobs, nor wait for anything.
func (s *stores) Transact(ctx context.Context, fn func(context.Context) error) error {
	return s.update(s.Context(ctx), fn)
}
