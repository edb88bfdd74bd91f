package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"gantry/image/archive"
	"gantry/storage"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxCached bounds the parsed documents that are kept; each is a few kilobytes.
const maxCached = 1024

// maxNesting bounds indexes in indexes.
const maxNesting = 4

// reader reads indexes, manifests and configs, and keeps them parsed: they are
// named by their digests and never change. Contexts must carry the namespace.
type reader struct {
	store *storage.Service

	mu       sync.Mutex // guards the caches
	variants map[digest.Digest]*variant
	indexes  map[digest.Digest][]ocispec.Descriptor
	parts    map[digest.Digest]*parts // of manifests that are complete here
}

// variant is an image for one platform: a manifest and its config. Nobody changes it.
type variant struct {
	desc     ocispec.Descriptor // of the manifest
	manifest ocispec.Manifest
	config   dockerspec.DockerOCIImage
	platform ocispec.Platform
	chains   []storage.ChainID // of each layer with those below it
	chain    storage.ChainID   // of all layers
	artifact bool              // not an image: only desc and manifest are set
}

func newReader(store *storage.Service) *reader {
	return &reader{
		store:    store,
		variants: map[digest.Digest]*variant{},
		indexes:  map[digest.Digest][]ocispec.Descriptor{},
		parts:    map[digest.Digest]*parts{},
	}
}

// manifest reads a manifest and its config. Errors: not found (either is not here), invalid argument.
func (r *reader) manifest(ctx context.Context, d ocispec.Descriptor) (*variant, error) {
	r.mu.Lock()
	v := r.variants[d.Digest]
	r.mu.Unlock()
	if v != nil {
		return v, nil
	}
	v, err := r.readVariant(ctx, d)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.variants) >= maxCached {
		clear(r.variants)
	}
	r.variants[d.Digest] = v
	return v, nil
}

func (r *reader) readVariant(ctx context.Context, d ocispec.Descriptor) (*variant, error) {
	v := &variant{desc: d}
	if err := r.json(ctx, d, &v.manifest); err != nil {
		return nil, err
	}
	if !images.IsConfigType(v.manifest.Config.MediaType) {
		v.artifact = true
		return v, nil
	}
	if err := r.json(ctx, v.manifest.Config, &v.config); err != nil {
		return nil, err
	}
	ids := v.config.RootFS.DiffIDs
	if len(ids) != len(v.manifest.Layers) {
		return nil, broken(d, "its config names %d layers, the manifest %d", len(ids), len(v.manifest.Layers))
	}
	for n, id := range ids {
		if err := id.Validate(); err != nil {
			return nil, broken(d, "diff ID %q: %v", id, err)
		}
		if err := archive.CheckDescriptor(v.manifest.Layers[n]); err != nil {
			return nil, err
		}
		v.chain = storage.Extend(v.chain, storage.DiffID(id))
		v.chains = append(v.chains, v.chain)
	}
	v.platform = normalPlatform(v.config.Platform)
	if d.Platform != nil && v.config.OS == "" {
		v.platform = normalPlatform(*d.Platform)
	}
	return v, nil
}

// index reads the descriptors that an index lists.
func (r *reader) index(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	r.mu.Lock()
	list, ok := r.indexes[d.Digest]
	r.mu.Unlock()
	if ok {
		return list, nil
	}
	data, err := r.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	parsed, err := archive.ParseIndex(data)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.indexes) >= maxCached {
		clear(r.indexes)
	}
	r.indexes[d.Digest] = parsed.Manifests
	return parsed.Manifests, nil
}

// shape has the fields by which a document tells what it is.
type shape struct {
	MediaType string          `json:"mediaType"`
	Manifests json.RawMessage `json:"manifests"`
	Config    json.RawMessage `json:"config"`
	Layers    json.RawMessage `json:"layers"`
}

// blob reads a document of bounded size. An index that calls itself a manifest, or the
// other way round, is refused: two readers must not see two images in the same bytes.
func (r *reader) blob(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > archive.MaxJSON {
		return nil, broken(d, "%d bytes, at most %d are read", d.Size, archive.MaxJSON)
	}
	d.Data = nil // what a descriptor embeds is not verified
	data, err := content.ReadBlob(ctx, r.store.Content(), d)
	if err != nil {
		return nil, err
	}
	var s shape
	if images.IsIndexType(d.MediaType) || images.IsManifestType(d.MediaType) {
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, broken(d, "%v", err)
		}
		if s.MediaType != "" && s.MediaType != d.MediaType {
			return nil, broken(d, "it is a %q, not a %q", s.MediaType, d.MediaType)
		}
	}
	if images.IsIndexType(d.MediaType) && (s.Config != nil || s.Layers != nil) || images.IsManifestType(d.MediaType) && s.Manifests != nil {
		return nil, broken(d, "it is an index and a manifest at once")
	}
	return data, nil
}

func (r *reader) json(ctx context.Context, d ocispec.Descriptor, into any) error {
	if err := archive.CheckDescriptor(d); err != nil {
		return err
	}
	data, err := r.blob(ctx, d)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return broken(d, "%v", err)
	}
	return nil
}

// has reports whether a blob is here.
func (r *reader) has(ctx context.Context, d digest.Digest) bool {
	_, err := r.store.Content().Info(ctx, d)
	return err == nil
}

// complete reports whether all of the blobs are here.
func (r *reader) complete(ctx context.Context, list []ocispec.Descriptor) bool {
	return !slices.ContainsFunc(list, func(d ocispec.Descriptor) bool { return !r.has(ctx, d.Digest) })
}

func broken(d ocispec.Descriptor, format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: ", d.Digest) + fmt.Sprintf(format, args...))
}
