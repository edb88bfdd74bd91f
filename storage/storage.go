// Package storage keeps content, images' metadata, layers and the writable layers
// of containers, in containerd's libraries and Docker's places.
//
// Content is bytes by digest. A layer is a tar; its diff ID is the digest of the
// uncompressed tar, its digest that of the blob. A chain is a stack of layers, named
// by its chain ID, and is one committed snapshot. An rw layer is a container's own
// snapshot on top of a chain, with the chain's init layer between them: the files and
// directories that the runtime mounts over (/etc/hosts, /dev, ...), which are not the
// container's changes.
//
// What nothing refers to is collected. An image refers to its manifest, and so on
// down to its chain; a lease refers to what an operation is working on; each rw layer has
// a lease of its container's ID.
package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

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
//
// Its chains and stores are parts of it: what they offer, it offers.
type Service struct {
	*chains

	// collecting is held for writing while the driver's snapshots are compared with the
	// metadata, and for reading by transactions that make a snapshot in the driver before they commit.
	collecting sync.RWMutex
	reaper     *reaper
	closeOnce  sync.Once
	closeErr   error
}

// Open opens the stores under cfg.Root and begins, in the background, to
// remove what earlier daemons have left unfinished. Errors: invalid argument
// (driver or option), not implemented (driver that this host lacks, with the
// reason), and that another process has the data root open.
func Open(ctx context.Context, cfg Config) (_ *Service, err error) {
	if err := checkOptions(cfg.Options); err != nil {
		return nil, err
	}
	root := filepath.Join(cfg.Root, "containerd", "daemon")
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, err
	}
	boltDB, err := openBolt(filepath.Join(root, "io.containerd.metadata.v1.bolt", "meta.db"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, boltDB.Close())
		}
	}()
	name, driver, err := openDriver(ctx, root, cfg.Driver)
	if err != nil {
		return nil, err
	}
	db := &stores{driver: driver, name: name, bolt: boltDB}
	s := &Service{chains: &chains{stores: db}}
	if err := db.openMetadata(ctx, filepath.Join(root, "io.containerd.content.v1.content")); err != nil {
		return nil, errors.Join(err, driver.Close())
	}
	orphans, err := s.recover(s.Context(ctx))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("recover: %w", err), driver.Close())
	}
	s.reaper = startReaper(s, orphans)
	return s, nil
}

// Close waits for the work in the background and closes the stores.
func (s *Service) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		s.closeErr = errors.Join(s.reaper.stop(ctx), s.driver.Close(), s.bolt.Close())
	})
	return s.closeErr
}

// Driver is the name of the storage driver and its status lines for /info.
func (s *Service) Driver() (name string, status [][2]string) { return s.name, s.driver.Status() }
