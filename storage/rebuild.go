package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"sync"

	"gantry/storage/tarsplit"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// RebuiltLabel is on the Info of content that takes no space as content: its bytes are made of an adopted layer's files
// whenever they are read.
const RebuiltLabel = "gantry.rebuilt"

// rebuilding is the content store, and beside what it holds, the uncompressed tars of adopted layers.
type rebuilding struct {
	content.Store
	stores *stores
	layers *rebuildable
}

// Info is that of the store, or of an adopted layer with RebuiltLabel.
func (r rebuilding) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	info, err := r.Store.Info(ctx, d)
	if !errdefs.IsNotFound(err) {
		return info, err
	}
	if l, ok, lookup := r.layers.find(r.stores, d); ok || lookup != nil {
		return content.Info{Digest: d, Size: l.size, Labels: map[string]string{RebuiltLabel: string(l.chain)}}, lookup
	}
	return info, err
}

// ReaderAt reads content of either kind. An adopted layer is made while it is read, from its beginning and best in
// order; reading its last byte fails if it has turned out to be another.
func (r rebuilding) ReaderAt(ctx context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	ra, err := r.Store.ReaderAt(ctx, d)
	if !errdefs.IsNotFound(err) {
		return ra, err
	}
	l, ok, lookup := r.layers.find(r.stores, d.Digest)
	if lookup != nil {
		return nil, lookup
	}
	if !ok {
		return nil, err
	}
	home, err := r.stores.dirOf(ctx, string(l.chain))
	if err != nil {
		return nil, err
	}
	if _, leased := leases.FromContext(ctx); leased {
		if _, err := (&chains{stores: r.stores}).HasChain(ctx, l.chain); err != nil {
			return nil, err
		}
	}
	open := func() (io.ReadCloser, error) {
		return tarsplit.Open(filepath.Join(home, "fs"), filepath.Join(home, tarsplit.File))
	}
	return &rebuilt{digest: d.Digest, size: l.size, open: open}, nil
}

// rebuilt reads a stream at offsets: in order without cost, else from the stream's beginning again.
type rebuilt struct {
	digest digest.Digest
	size   int64
	open   func() (io.ReadCloser, error)

	mu       sync.Mutex // guards the fields below
	stream   io.ReadCloser
	at       int64
	verifier digest.Verifier
}

func (r *rebuilt) Size() int64 { return r.size }

func (r *rebuilt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= r.size {
		return 0, io.EOF
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.seek(off); err != nil {
		return 0, err
	}
	want := min(int64(len(p)), r.size-off)
	n, err := io.ReadFull(io.TeeReader(r.stream, r.verifier), p[:want])
	r.at += int64(n)
	if err != nil {
		return 0, fmt.Errorf("layer %s cannot be made again: %w", r.digest, err)
	}
	if r.at < r.size {
		return n, nil
	}
	if !r.verifier.Verified() {
		return 0, errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("layer %s cannot be made again: its files have been changed since it was unpacked", r.digest))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// seek makes the stream stand at off.
func (r *rebuilt) seek(off int64) error {
	if r.stream != nil && off < r.at {
		if err := r.stream.Close(); err != nil {
			return err
		}
		r.stream = nil
	}
	if r.stream == nil {
		stream, err := r.open()
		if err != nil {
			return err
		}
		r.stream, r.at, r.verifier = stream, 0, r.digest.Verifier()
	}
	n, err := io.CopyN(r.verifier, r.stream, off-r.at)
	r.at += n
	return err
}

func (r *rebuilt) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stream == nil {
		return nil
	}
	err := r.stream.Close()
	r.stream = nil
	return err
}

// rebuildable knows the adopted layers, as the snapshots' labels tell.
type rebuildable struct {
	mu     sync.Mutex // guards byDiff
	byDiff map[digest.Digest][]adoptedLayer
}

type adoptedLayer struct {
	chain ChainID
	size  int64
}

// forget makes the next find read the labels again.
func (r *rebuildable) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byDiff = nil
}

// find returns a chain whose top layer has the diff ID d.
func (r *rebuildable) find(s *stores, d digest.Digest) (found adoptedLayer, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err = s.bolt.View(func(tx *bolt.Tx) error {
		if r.byDiff == nil {
			if r.byDiff, err = s.adoptedLayers(tx); err != nil {
				return err
			}
		}
		for _, l := range r.byDiff[d] {
			if s.driverKey(tx, string(l.chain)) != "" {
				found, ok = l, true
				return nil
			}
		}
		return nil
	})
	return found, ok, err
}

// adoptedLayers reads the labels of all snapshots: O(snapshots).
func (s *stores) adoptedLayers(tx *bolt.Tx) (map[digest.Digest][]adoptedLayer, error) {
	out := map[digest.Digest][]adoptedLayer{}
	rows := descend(tx.Bucket([]byte("v1")), Namespace, "snapshots", s.name)
	if rows == nil {
		return out, nil
	}
	return out, rows.ForEachBucket(func(k []byte) error {
		labels, err := boltutil.ReadLabels(rows.Bucket(k))
		if err != nil || labels[layerLabel] == "" {
			return err
		}
		size, err := strconv.ParseInt(labels[layerSizeLabel], 10, 64)
		if err != nil {
			return errors.Join(fmt.Errorf("snapshot %s: label %s", k, layerSizeLabel), err)
		}
		d := digest.Digest(labels[layerLabel])
		out[d] = append(out[d], adoptedLayer{chain: ChainID(k), size: size})
		return nil
	})
}
