package overlay

import (
	"context"

	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
)

// batchKey marks a context whose transaction belongs to a batch.
type batchKey struct{}

// batches is the snapshotter's database; operations inside of a batch share its transaction, and so its fsyncs.
type batches struct{ *storage.MetaStore }

// WithTransaction runs fn in the transaction of the batch, if ctx has one.
func (b batches) WithTransaction(ctx context.Context, writable bool, fn storage.TransactionCallback) error {
	if ctx.Value(batchKey{}) != nil {
		return fn(ctx)
	}
	return b.MetaStore.WithTransaction(ctx, writable, fn)
}

// RemoveAll forgets snapshots in one transaction. Missing ones and those with children are left out.
func (d *Driver) RemoveAll(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return d.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		ctx = context.WithValue(ctx, batchKey{}, true)
		for _, key := range keys {
			// These two are found out before anything is changed, so the transaction stays good.
			if err := d.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsFailedPrecondition(err) {
				return err
			}
		}
		return nil
	})
}
