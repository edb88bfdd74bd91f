package storage

import (
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

// digestAlgorithm of the blobs that are looked for in the content store's directory.
const digestAlgorithm = digest.SHA256

// The part of containerd's metadata schema that is read directly (its package metadata, buckets.go):
//
//	v1
//	└── <namespace>
//	    ├── content
//	    │   └── blob
//	    │       └── <digest>
//	    └── snapshots
//	        └── <snapshotter>
//	            └── <key>
//	                ├── name : <key in the snapshotter>
//	                └── labels
//
// Everything else goes through containerd's stores.

// eachNamespace calls fn for the bucket of each namespace.
func eachNamespace(tx *bolt.Tx, fn func(*bolt.Bucket) error) error {
	v1 := tx.Bucket([]byte("v1"))
	if v1 == nil {
		return nil
	}
	return v1.ForEachBucket(func(ns []byte) error { return fn(v1.Bucket(ns)) })
}

// descend follows bucket names; nil if one is missing.
func descend(b *bolt.Bucket, names ...string) *bolt.Bucket {
	for _, n := range names {
		if b == nil {
			return nil
		}
		b = b.Bucket([]byte(n))
	}
	return b
}

// namedBlobs returns the digests that any namespace names.
func (s *stores) namedBlobs() (map[Digest]bool, error) {
	out := map[Digest]bool{}
	err := s.bolt.View(func(tx *bolt.Tx) error {
		return eachNamespace(tx, func(ns *bolt.Bucket) error {
			blobs := descend(ns, "content", "blob")
			if blobs == nil {
				return nil
			}
			return blobs.ForEachBucket(func(k []byte) error {
				out[Digest(k)] = true
				return nil
			})
		})
	})
	return out, err
}

// namedSnapshots returns the keys in the driver that any namespace names.
func (s *stores) namedSnapshots() (map[string]bool, error) {
	out := map[string]bool{}
	err := s.bolt.View(func(tx *bolt.Tx) error {
		return eachNamespace(tx, func(ns *bolt.Bucket) error {
			rows := descend(ns, "snapshots", s.name)
			if rows == nil {
				return nil
			}
			return rows.ForEachBucket(func(k []byte) error {
				out[string(rows.Bucket(k).Get([]byte("name")))] = true
				return nil
			})
		})
	})
	return out, err
}

// driverKey returns the key in the driver of a snapshot of our namespace; "" if there is none.
func (s *stores) driverKey(tx *bolt.Tx, key string) string {
	row := descend(tx.Bucket([]byte("v1")), Namespace, "snapshots", s.name, key)
	if row == nil {
		return ""
	}
	return string(row.Get([]byte("name")))
}
