package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	bolt "go.etcd.io/bbolt"
)

// lockTimeout is how long Open waits for another process to close the database.
const lockTimeout = 3 * time.Second

// stores are containerd's stores over one metadata database, and the snapshotter that the database names snapshots of.
type stores struct {
	driver    Driver
	name      string // of the driver
	bolt      *bolt.DB
	db        *metadata.DB
	content   content.Store
	images    images.Store
	leases    leases.Manager
	snapshots snapshots.Snapshotter // of the driver, by the names of the metadata
	rebuild   *rebuildable
}

// Content, Images and Leases are containerd's stores; ctx must carry Namespace: see Context.
func (s *stores) Content() content.Store { return s.content }

// Images is the store of names.
func (s *stores) Images() images.Store { return s.images }

// Leases is the store of leases.
func (s *stores) Leases() leases.Manager { return s.leases }

// Context returns ctx with the namespace that the stores need.
func (s *stores) Context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

func openBolt(path string) (*bolt.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, err
	}
	options := *bolt.DefaultOptions
	options.Timeout = lockTimeout
	options.NoFreelistSync = true // as containerd opens it: one page less to write in each commit
	options.FreelistType = bolt.FreelistMapType
	options.NoStatistics = true
	db, err := bolt.Open(path, 0o644, &options)
	if err != nil {
		return nil, fmt.Errorf("open %s (does another daemon use this data root?): %w", path, err)
	}
	return db, nil
}

func (s *stores) openMetadata(ctx context.Context, contentRoot string) error {
	blobs, err := local.NewStore(contentRoot)
	if err != nil {
		return err
	}
	// Without the driver's Cleanup: directories are deleted after the collection has let go of its locks.
	bare := struct{ snapshots.Snapshotter }{s.driver}
	s.db = metadata.NewDB(s.bolt, blobs, map[string]snapshots.Snapshotter{s.name: bare})
	if err := s.db.Init(ctx); err != nil {
		return err
	}
	s.rebuild = &rebuildable{}
	s.content = rebuilding{Store: s.db.ContentStore(), stores: s, layers: s.rebuild}
	s.snapshots = s.db.Snapshotter(s.name)
	s.images = metadata.NewImageStore(s.db)
	s.leases = metadata.NewLeaseManager(s.db)
	return s.dropUnnamedBlobs(ctx, blobs, filepath.Join(contentRoot, "blobs", string(digestAlgorithm)))
}

// update runs fn in one transaction of the metadata: the stores use the one that ctx carries. A commit costs two fsyncs.
func (s *stores) update(ctx context.Context, fn func(context.Context) error) error {
	return s.db.Update(func(tx *bolt.Tx) error { return fn(boltutil.WithTransaction(ctx, tx)) })
}

// dropUnnamedBlobs deletes blobs that the metadata of no namespace names: a
// crash came between the blob and its row. Nothing else uses the store yet.
func (s *stores) dropUnnamedBlobs(ctx context.Context, blobs content.Store, dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) || len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	named, err := s.namedBlobs()
	if err != nil {
		return err
	}
	for _, e := range entries {
		d := Digest(string(digestAlgorithm) + ":" + e.Name())
		if named[d] || d.Validate() != nil {
			continue
		}
		if err := blobs.Delete(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
