// Package native keeps every snapshot as a directory with all of its files. It
// needs nothing from the kernel, and copies a whole image for each container.
package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"gantry/storage/leftover"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// Name of the driver, as containerd calls it; Docker called its like "vfs".
const Name = "native"

// Driver is containerd's native snapshotter.
type Driver struct {
	snapshots.Snapshotter
	dir string // of the snapshots
}

// Open opens the driver's directory and sets aside what a crash has left in it.
func Open(ctx context.Context, root string) (*Driver, error) {
	dir := filepath.Join(root, "snapshots")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	meta, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"), func(o *bolt.Options) error {
		o.Timeout = 10 * time.Second
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(leftover.SetAside(ctx, meta, dir), meta.Close()); err != nil {
		return nil, err
	}
	s, err := native.NewSnapshotter(root)
	if err != nil {
		return nil, err
	}
	return &Driver{Snapshotter: s, dir: dir}, nil
}

// Status is what /info shows beside the driver's name.
func (d *Driver) Status() [][2]string {
	return [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
}

// Copies reports whether every snapshot holds a copy of its parents' files.
func (d *Driver) Copies() bool { return true }

// Apply unpacks the uncompressed tar of a layer into an active snapshot. The files are durable when it returns.
func (d *Driver) Apply(ctx context.Context, m []mount.Mount, r io.Reader) error {
	if len(m) != 1 || m[0].Type != "bind" {
		return fmt.Errorf("mounts %v: %w", m, errdefs.ErrNotImplemented)
	}
	if _, err := archive.Apply(ctx, m[0].Source, r); err != nil {
		return err
	}
	f, err := os.Open(m[0].Source)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}

// Cleanup deletes what a crash has left.
func (d *Driver) Cleanup(ctx context.Context) error { return leftover.Delete(ctx, d.dir) }

// RemoveAll removes snapshots and their files. Missing ones and those with children are left out.
func (d *Driver) RemoveAll(ctx context.Context, keys []string) error {
	var errs []error
	for _, key := range keys {
		if err := d.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsFailedPrecondition(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
