package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"gantry/internal/fault"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Chain returns the ID of a stack of layers, lowest first.
func Chain(layers []DiffID) ChainID {
	ids := make([]digest.Digest, len(layers))
	for i, l := range layers {
		ids[i] = digest.Digest(l)
	}
	return ChainID(identity.ChainID(ids))
}

// Extend returns the ID of chain with one more layer on top.
func Extend(chain ChainID, layer DiffID) ChainID {
	if chain == "" {
		return ChainID(layer)
	}
	return ChainID(identity.ChainID([]digest.Digest{digest.Digest(chain), digest.Digest(layer)}))
}

// chains are the unpacked stacks of layers.
type chains struct {
	*stores
	initLayers sync.Mutex // held while an init layer is made
}

// HasChain reports whether a chain is unpacked, and keeps it for the operation of ctx.
func (s *chains) HasChain(ctx context.Context, chain ChainID) (bool, error) {
	if chain == "" {
		return true, nil
	}
	if _, err := s.snapshots.Stat(ctx, string(chain)); errdefs.IsNotFound(err) {
		return false, nil
	}
	// Preparing a snapshot that is to become an existing one does not make it, but adds the existing one to the lease.
	key := "extract-" + uuid.NewString()
	_, err := s.snapshots.Prepare(ctx, key, "", snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: string(chain)}))
	switch {
	case errdefs.IsAlreadyExists(err):
		return true, nil
	case err != nil:
		return false, err
	}
	return false, s.snapshots.Remove(ctx, key)
}

// Unpack adds a layer, given as its uncompressed tar, to the chain parent, and returns the longer
// chain, for the operation of ctx (see Begin). The tar is read to its end. A chain that is
// unpacked already is not unpacked again, and tar is not read. Errors: not found (parent), data loss (the tar is
// not the layer), and those of reading tar.
func (s *chains) Unpack(ctx context.Context, parent ChainID, layer DiffID, tar io.Reader) (_ ChainID, err error) {
	chain := Extend(parent, layer)
	if has, err := s.HasChain(ctx, chain); err != nil || has {
		return chain, err
	}
	key := "extract-" + uuid.NewString() + " " + string(chain)
	m, err := s.snapshots.Prepare(ctx, key, string(parent))
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.snapshots.Remove(context.WithoutCancel(ctx), key))
		}
	}()
	fault.Point("storage.unpack.prepared")
	verifier := digest.Digest(layer).Verifier()
	r := io.TeeReader(tar, verifier)
	if err := s.driver.Apply(ctx, m, r); err != nil {
		return "", fmt.Errorf("unpack layer %s: %w", layer, err)
	}
	// What follows the archive's end counts for the digest.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return "", fmt.Errorf("unpack layer %s: %w", layer, err)
	}
	if !verifier.Verified() {
		return "", errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("layer is not %s, which the image's config names", layer))
	}
	fault.Point("storage.unpack.applied")
	err = s.snapshots.Commit(ctx, string(chain), key)
	if errdefs.IsAlreadyExists(err) {
		// Another operation was quicker; ours must hold its snapshot too.
		if _, err := s.HasChain(ctx, chain); err != nil {
			return "", err
		}
		return chain, s.snapshots.Remove(ctx, key)
	}
	return chain, err
}

// ChainOf returns the chain that an rw layer stands on, for records that do not say: those of dockerd with the containerd
// image store. Between the two it has an init layer for each container. Errors: not found.
func (s *chains) ChainOf(ctx context.Context, id string) (ChainID, error) {
	ctx = s.Context(ctx)
	for name := id; ; {
		info, err := s.snapshots.Stat(ctx, name)
		if err != nil {
			return "", err
		}
		if name = info.Parent; name == "" || digest.Digest(name).Validate() == nil {
			return ChainID(name), nil
		}
	}
}

// Ready reports whether a chain is unpacked and MakeReady has nothing to do for it. It writes nothing, so it keeps nothing:
// the caller knows who does.
func (s *chains) Ready(ctx context.Context, chain ChainID) (bool, error) {
	ctx = s.Context(ctx)
	for _, name := range []string{string(chain), string(chain) + "-init"} {
		if _, err := s.snapshots.Stat(ctx, name); errdefs.IsNotFound(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// MakeReady makes what the first container on a chain would have to wait for.
func (s *chains) MakeReady(ctx context.Context, chain ChainID) error {
	_, err := s.initLayer(s.Context(ctx), chain)
	return err
}

// ChainLabel is the label of an image's config in the content store that keeps its chain.
func (s *chains) ChainLabel(chain ChainID) (key, value string) {
	return "containerd.io/gc.ref.snapshot." + s.name, string(chain)
}
