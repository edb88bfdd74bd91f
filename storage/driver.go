package storage

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gantry/storage/native"
	"gantry/storage/overlay"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// Driver is a containerd snapshotter with our applier beside it.
type Driver interface {
	snapshots.Snapshotter
	snapshots.Cleaner

	// Apply unpacks the uncompressed tar of a layer into the active snapshot that m shows. Its files are durable when it returns.
	Apply(ctx context.Context, m []mount.Mount, tar io.Reader) error
	// RemoveAll removes snapshots; missing ones and those with children are left out. Cleanup deletes what is left of them.
	RemoveAll(ctx context.Context, keys []string) error
	// Copies reports whether every snapshot holds a copy of its parents' files, so that
	// making one is slow and its size is that of the whole chain.
	Copies() bool
	// Status is what /info shows beside the name.
	Status() [][2]string
}

// kind is one storage driver that can be asked for.
type kind struct {
	name  string
	alias string // Docker's older name of its like
	open  func(ctx context.Context, root string) (Driver, error)
}

// kinds lists the drivers, best first.
func kinds() []kind {
	return []kind{
		{overlay.Name, "overlay2", func(ctx context.Context, root string) (Driver, error) { return overlay.Open(ctx, root) }},
		{native.Name, "vfs", func(ctx context.Context, root string) (Driver, error) { return native.Open(ctx, root) }},
	}
}

func (k kind) dir(root string) string {
	return filepath.Join(root, "io.containerd.snapshotter.v1."+k.name)
}

// openDriver opens the driver that the environment or the configuration asks
// for, else the one that the data root already holds, else the best that works here.
func openDriver(ctx context.Context, root, configured string) (string, Driver, error) {
	all := kinds()
	want := os.Getenv("DOCKER_DRIVER")
	if want == "" {
		want = configured
	}
	if want != "" {
		return openNamed(ctx, root, want)
	}
	for _, k := range all {
		if _, err := os.Stat(filepath.Join(k.dir(root), "metadata.db")); err == nil {
			return openNamed(ctx, root, k.name)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(root)), "image", "overlay2", "layerdb", "sha256")); err == nil {
		return openNamed(ctx, root, overlay.Name) // layers of Docker's classic store wait to be adopted
	}
	var reasons []string
	for _, k := range all {
		d, err := k.open(ctx, k.dir(root))
		if err == nil {
			if len(reasons) > 0 {
				slog.WarnContext(ctx, "a better storage driver does not work here", "driver", k.name, "reasons", strings.Join(reasons, "; "))
			}
			return k.name, d, nil
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", k.name, err))
	}
	return "", nil, errdefs.ErrNotImplemented.WithMessage("no storage driver works here: " + strings.Join(reasons, "; "))
}

func openNamed(ctx context.Context, root, name string) (string, Driver, error) {
	all := kinds()
	n := slices.IndexFunc(all, func(k kind) bool { return k.name == name || k.alias == name })
	if n < 0 {
		var names []string
		for _, k := range all {
			names = append(names, fmt.Sprintf("%s (%s)", k.name, k.alias))
		}
		return "", nil, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("storage driver %q is not supported: choose one of %s", name, strings.Join(names, ", ")))
	}
	d, err := all[n].open(ctx, all[n].dir(root))
	if err != nil {
		return "", nil, fmt.Errorf("storage driver %s: %w", all[n].name, err)
	}
	return all[n].name, d, nil
}

// checkOptions refuses options of --storage-opt that would be silently ignored.
func checkOptions(options []string) error {
	for _, o := range options {
		key, _, _ := strings.Cut(o, "=")
		switch strings.ToLower(key) {
		case "overlay2.override_kernel_check": // without effect in dockerd, too
		case "overlay2.size", "size":
			return errdefs.ErrNotImplemented.WithMessage("storage option " + key + ": the size of containers cannot be limited by this storage driver")
		default:
			return errdefs.ErrInvalidArgument.WithMessage("unknown storage option " + key)
		}
	}
	return nil
}
