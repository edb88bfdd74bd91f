// Package overlay keeps layers as extracted directories that overlayfs stacks.
package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"gantry/storage/detach"
	"gantry/storage/leftover"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// Name of the driver, as containerd and Docker call it.
const Name = "overlayfs"

// parameters of the overlay module: features that must not depend on how the
// kernel was configured, because layers are read from their upper directories.
const parameters = "/sys/module/overlay/parameters"

// Driver is containerd's overlay snapshotter with removal in two steps: Remove
// forgets a snapshot, Cleanup deletes the directories of forgotten ones.
type Driver struct {
	snapshots.Snapshotter
	meta *storage.MetaStore
	root string
}

// Open opens the driver's directory. Errors: not implemented, with the reason, where the kernel or the file system cannot stack directories.
func Open(ctx context.Context, root string) (*Driver, error) {
	if err := os.MkdirAll(filepath.Join(root, "snapshots"), 0o700); err != nil {
		return nil, err
	}
	if err := Probe(root); err != nil {
		return nil, err
	}
	meta, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"), boltOptions)
	if err != nil {
		return nil, err
	}
	if err := leftover.SetAside(ctx, meta, filepath.Join(root, "snapshots")); err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	s, err := overlay.NewSnapshotter(root, overlay.WithMetaStore(batches{meta}), overlay.AsynchronousRemove,
		overlay.WithMountOptions(mountOptions()))
	if err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	return &Driver{Snapshotter: s, meta: meta, root: root}, nil
}

func boltOptions(o *bolt.Options) error {
	o.Timeout = 10 * time.Second
	o.NoFreelistSync = true
	o.FreelistType = bolt.FreelistMapType
	return nil
}

func mountOptions() []string {
	var out []string
	for _, name := range []string{"index", "redirect_dir", "metacopy"} {
		if _, err := os.Stat(filepath.Join(parameters, name)); err == nil {
			out = append(out, name+"=off")
		}
	}
	return out
}

// Probe mounts an overlay of directories in root and uses it. Errors: not implemented, with the reason.
func Probe(root string) (err error) {
	dir, err := os.MkdirTemp(root, "probe-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := probe(dir); err != nil {
		return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("overlayfs does not work on %s: %v", root, err))
	}
	return nil
}

func probe(dir string) error {
	for _, name := range []string{"1/both", "2/both", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "1/both/old"), nil, 0o644); err != nil {
		return err
	}
	layers := detach.Layers{
		Lower: []string{filepath.Join(dir, "2"), filepath.Join(dir, "1")},
		Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), Options: append(mountOptions(), "volatile"),
	}
	// Without "volatile" (Linux 5.10), unmounting writes out the whole file system below.
	root, err := detach.Overlay(layers)
	if err != nil {
		layers.Options = mountOptions()
		root, err = detach.Overlay(layers)
	}
	if err != nil {
		return err
	}
	// Removing makes a whiteout, a character device that not every file system or user namespace takes; a directory
	// whose type is not in its entry (d_type) shows whiteouts as files.
	err = unix.Unlinkat(int(root.Fd()), "both/old", 0)
	if err == nil {
		var left []os.DirEntry
		left, err = os.ReadDir(fmt.Sprintf("/proc/self/fd/%d/both", root.Fd()))
		if err == nil && len(left) > 0 {
			err = errors.New("a removed file is still there: the file system does not support d_type")
		}
	}
	return errors.Join(err, root.Close())
}

// Status is what /info shows beside the driver's name.
func (d *Driver) Status() [][2]string {
	return [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
}

// Copies reports whether every snapshot holds a copy of its parents' files.
func (d *Driver) Copies() bool { return false }

// Apply unpacks the uncompressed tar of a layer into an active snapshot. The files are durable when it returns.
func (d *Driver) Apply(ctx context.Context, m []mount.Mount, r io.Reader) error {
	// The first layer has nothing to stack on: it is a bind mount of its directory.
	if len(m) == 1 && m[0].Type == "bind" {
		return d.apply(ctx, detach.Layers{Upper: m[0].Source}, r)
	}
	if len(m) != 1 {
		return fmt.Errorf("%d mounts: %w", len(m), errdefs.ErrNotImplemented)
	}
	layers, err := detach.ParseOverlay(m[0])
	if err != nil {
		return err
	}
	return d.apply(ctx, layers, r)
}

func (d *Driver) apply(ctx context.Context, l detach.Layers, r io.Reader) error {
	_, err := archive.Apply(ctx, l.Upper, r,
		archive.WithConvertWhiteout(convertWhiteout),
		archive.WithParents(l.Lower),
		archive.WithFilter(dropOverlayAttributes))
	if err != nil {
		return err
	}
	return syncFS(l.Upper)
}

// Dir is the directory of a snapshot: its own files are in "fs" of it. Errors: not found.
func (d *Driver) Dir(ctx context.Context, key string) (dir string, err error) {
	err = d.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		id, _, _, err := storage.GetInfo(ctx, key)
		dir = filepath.Join(d.root, "snapshots", id)
		return err
	})
	return dir, err
}

// Cleanup deletes what Remove has left.
func (d *Driver) Cleanup(ctx context.Context) error {
	c, ok := d.Snapshotter.(snapshots.Cleaner)
	if !ok {
		return nil
	}
	err := c.Cleanup(ctx)
	if errdefs.IsNotFound(err) { // a new database
		return nil
	}
	return err
}
