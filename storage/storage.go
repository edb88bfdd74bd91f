// Package storage keeps content, images' metadata, layers and the writable layers
// of containers, in containerd's libraries and Docker's places.
//
// Content is bytes by digest. A layer is a tar; its diff ID is the digest of the
// uncompressed tar, its digest that of the blob. A chain is a stack of layers, named
// by its chain ID, and is one committed snapshot. An rw layer is a container's own
// snapshot on top of a chain.
package storage

import (
	"context"
	"io"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/moby/go-archive"
	"github.com/opencontainers/go-digest"
)

// Namespace is the containerd namespace of everything that Docker stores.
const Namespace = "moby"

// Digest of a blob, as it lies in the content store.
type Digest = digest.Digest

type (
	// DiffID is the digest of a layer's uncompressed tar.
	DiffID digest.Digest
	// ChainID names a stack of layers; "" is the empty stack.
	ChainID digest.Digest
)

// Config says where and how.
type Config struct {
	Root    string   // data root
	Driver  string   // "" to choose; "overlay2" means overlayfs, "vfs" native
	Options []string // storage-opt
}

// Service is the storage of a daemon. Safe for concurrent use.
type Service struct{}

func Open(ctx context.Context, cfg Config) (*Service, error) { return nil, errdefs.ErrNotImplemented }

func (s *Service) Close(context.Context) error { return nil }

// Content, Images and Leases are containerd's stores; ctx must carry Namespace: see Context.
func (s *Service) Content() content.Store { return nil }
func (s *Service) Images() images.Store   { return nil }
func (s *Service) Leases() leases.Manager { return nil }

// Context returns ctx with the namespace that the stores need.
func (s *Service) Context(ctx context.Context) context.Context { return ctx }

// Collect removes everything that no image, lease or snapshot refers to, and returns when it is gone.
func (s *Service) Collect(ctx context.Context) error { return errdefs.ErrNotImplemented }

// Driver is the name of the storage driver and its status lines for /info.
func (s *Service) Driver() (name string, status [][2]string) { return "", nil }

// CreateRW makes the rw layer of a container. Errors: not found (chain), already exists,
// not implemented (option that this driver or file system cannot serve).
func (s *Service) CreateRW(ctx context.Context, id string, parent ChainID, opts map[string]string) error {
	return errdefs.ErrNotImplemented
}

// RemoveRW removes it. A missing one is not an error.
func (s *Service) RemoveRW(ctx context.Context, id string) error { return errdefs.ErrNotImplemented }

// Mounts returns what to mount to see the container's root file system.
func (s *Service) Mounts(ctx context.Context, id string) ([]mount.Mount, error) {
	return nil, errdefs.ErrNotImplemented
}

// Root returns the container's root file system as a detached mount: a descriptor of its root directory that is
// attached nowhere and gone when the last descriptor is closed. While the container runs, use its own root.
func (s *Service) Root(ctx context.Context, id string) (*os.File, error) {
	return nil, errdefs.ErrNotImplemented
}

// View returns mounts that show a chain read-only, until release is called.
func (s *Service) View(ctx context.Context, chain ChainID) (m []mount.Mount, release func(context.Context) error, err error) {
	return nil, nil, errdefs.ErrNotImplemented
}

// Usage returns bytes and inodes of the rw layer alone, without its parents. It walks
// the tree: O(files). Errors: not found. Safe while the container runs.
func (s *Service) Usage(ctx context.Context, id string) (bytes, inodes int64, err error) {
	return 0, 0, errdefs.ErrNotImplemented
}

// ChainUsage returns the bytes of a chain with all its parents.
func (s *Service) ChainUsage(ctx context.Context, chain ChainID) (int64, error) {
	return 0, errdefs.ErrNotImplemented
}

// Changes lists what the rw layer changed, sorted by path, as `docker diff` shows it.
func (s *Service) Changes(ctx context.Context, id string) ([]archive.Change, error) {
	return nil, errdefs.ErrNotImplemented
}

// Diff is the rw layer as the uncompressed tar of an image layer.
func (s *Service) Diff(ctx context.Context, id string) (io.ReadCloser, error) {
	return nil, errdefs.ErrNotImplemented
}

// GraphDriver is what inspect shows of an rw layer: the driver and its directories.
func (s *Service) GraphDriver(ctx context.Context, id string) (name string, data map[string]string) {
	return "", nil
}
