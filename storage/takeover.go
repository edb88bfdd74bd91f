package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gantry/internal/atomicfile"
	"gantry/internal/fault"
	"gantry/storage/tarsplit"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Taking over the layers of another engine on the same file system: their directories are renamed into ours.
//
// Every method can be called again after a crash, and finds out itself how far it had come: a snapshot of a known name is
// prepared, the directory is renamed in the place of the snapshot's empty one, the snapshot is committed. Until
// EndAdoption, a lease that outlives the process keeps all of it.

// adoptionLease is the ID of the lease.
const adoptionLease = "gantry-adoption"

// Labels of an adopted layer, by which its tar is found: see rebuild.go.
const (
	layerLabel     = "gantry.layer"      // its diff ID
	layerSizeLabel = "gantry.layer.size" // bytes of its tar
)

// Unpacked is a layer as another engine has unpacked it for overlayfs.
type Unpacked struct {
	Parent ChainID // "" for the lowest
	Layer  DiffID
	Dir    string // its files; renamed
	Split  string // its tar-split file; stays
}

// adoptable is a driver whose snapshots are directories that can be renamed.
type adoptable interface {
	// Dir is where a snapshot keeps its own files, in "fs", and what belongs to it. Errors: not found.
	Dir(ctx context.Context, key string) (string, error)
}

// Adoption takes over the layers of another engine.
type Adoption struct{ s *Service }

// Adoption fails where the driver cannot take the directories of Docker's overlay2. Errors: failed precondition.
func (s *Service) Adoption() (*Adoption, error) {
	if _, ok := s.driver.(adoptable); !ok {
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"the layers of Docker's overlay2 need the storage driver overlayfs, and %s is configured: set storage-driver to overlayfs, or to nothing", s.name))
	}
	return &Adoption{s}, nil
}

// Begin must have been called before anything else, but not in this process.
func (a *Adoption) Begin(ctx context.Context) error {
	_, err := a.s.leases.Create(a.s.Context(ctx), leases.WithID(adoptionLease))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// End lets go of what neither an image nor a container has by now.
func (a *Adoption) End(ctx context.Context) error {
	err := a.s.leases.Delete(a.s.Context(ctx), leases.Lease{ID: adoptionLease})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// AdoptLayer makes a chain of a layer. Errors: not found (the directory, the parent).
func (a *Adoption) AdoptLayer(ctx context.Context, l Unpacked) (ChainID, error) {
	s, ctx := a.s, leases.WithLease(a.s.Context(ctx), adoptionLease)
	chain := Extend(l.Parent, l.Layer)
	if has, err := s.HasChain(ctx, chain); err != nil || has {
		return chain, err
	}
	size, err := tarsplit.SizeOf(l.Split)
	if err != nil {
		return "", err
	}
	labels := snapshots.WithLabels(map[string]string{layerLabel: string(l.Layer), layerSizeLabel: strconv.FormatInt(size, 10)})
	key := "adopt-" + string(chain)
	_, err = s.snapshots.Prepare(ctx, key, string(l.Parent))
	known := errdefs.IsAlreadyExists(err)
	if err != nil && !known {
		return "", err
	}
	fault.Point("storage.adopt.prepared")
	dir, err := s.moveIn(ctx, key, l.Dir, known)
	if errdefs.IsNotFound(err) {
		err = errors.Join(err, s.snapshots.Remove(ctx, key))
	}
	if err != nil {
		return "", fmt.Errorf("layer %s: %w", l.Layer, err)
	}
	if err := os.Link(l.Split, filepath.Join(dir, tarsplit.File)); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if err := atomicfile.SyncDir(dir); err != nil {
		return "", err
	}
	fault.Point("storage.adopt.moved")
	if err := s.snapshots.Commit(ctx, string(chain), key, labels); err != nil {
		return "", err
	}
	s.rebuild.forget()
	fault.Point("storage.adopt.committed")
	return chain, nil
}

// AdoptRW makes the rw layer of a container of the directory dir. Errors: not found (the directory, the chain).
func (a *Adoption) AdoptRW(ctx context.Context, id string, parent ChainID, dir string) error {
	err := a.s.CreateRW(ctx, id, parent, nil)
	known := errdefs.IsAlreadyExists(err)
	if err != nil && !known {
		return err
	}
	to, err := a.s.moveIn(a.s.Context(ctx), id, dir, known)
	if errdefs.IsNotFound(err) {
		err = errors.Join(err, a.s.RemoveRW(ctx, id))
	}
	if err != nil {
		return fmt.Errorf("writable layer of container %s: %w", id, err)
	}
	fault.Point("storage.adopt.rw")
	return atomicfile.SyncDir(to)
}

// moveIn renames dir to the place of a snapshot's own files, and returns the directory of the snapshot. A
// directory that is not there any more was moved earlier, if the snapshot is older than this call. Errors: not found (dir).
func (s *stores) moveIn(ctx context.Context, key, dir string, known bool) (string, error) {
	home, err := s.dirOf(ctx, key)
	if err != nil {
		return "", err
	}
	err = unix.Rename(dir, filepath.Join(home, "fs")) // os.Rename refuses what rename(2) does: to replace an empty directory
	if errors.Is(err, os.ErrNotExist) && known {
		return home, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return "", errdefs.ErrNotFound.WithMessage("there is no " + dir)
	}
	if err != nil {
		return "", fmt.Errorf("move %s to %s: %w", dir, home, err)
	}
	return home, atomicfile.SyncDir(filepath.Dir(dir))
}

// dirOf is the directory of a snapshot of our namespace. Errors: not found, not implemented.
func (s *stores) dirOf(ctx context.Context, key string) (string, error) {
	d, ok := s.driver.(adoptable)
	if !ok {
		return "", errdefs.ErrNotImplemented.WithMessage("storage driver " + s.name + " has no directory for each snapshot")
	}
	var own string
	if err := s.bolt.View(func(tx *bolt.Tx) error { own = s.driverKey(tx, key); return nil }); err != nil {
		return "", err
	}
	if own == "" {
		return "", errdefs.ErrNotFound.WithMessage("there is no snapshot " + key)
	}
	return d.Dir(ctx, own)
}
