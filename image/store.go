package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	"gantry/image/archive"
	"gantry/internal/fault"
	"gantry/storage"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// vault stores images: blobs, the snapshots of their layers, and at last their names.
type vault struct {
	store   *storage.Service
	names   *catalog
	content *reader
}

// ingest stores a stream as a blob, for the operation of ctx. Errors: invalid argument, where it is not what expected says.
func (v *vault) ingest(ctx context.Context, r io.Reader, size int64, expected digest.Digest) (ocispec.Descriptor, error) {
	opts := []content.WriterOpt{content.WithRef("ingest-" + uuid.NewString())}
	if expected != "" {
		opts = append(opts, content.WithDescriptor(ocispec.Descriptor{Digest: expected}))
	}
	w, err := v.store.Content().Writer(ctx, opts...)
	if errdefs.IsAlreadyExists(err) {
		return v.known(ctx, r, expected)
	}
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer w.Close() //nolint:errcheck // after Commit there is nothing to close
	n, err := io.CopyBuffer(w, struct{ io.Reader }{r}, make([]byte, 1<<17))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if size >= 0 && n != size {
		return ocispec.Descriptor{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%d bytes of %d", n, size))
	}
	d := ocispec.Descriptor{Digest: w.Digest(), Size: n}
	if expected != "" && expected.Algorithm() == digest.Canonical && d.Digest != expected {
		return ocispec.Descriptor{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("its digest is %s, not %s", d.Digest, expected))
	}
	if expected != "" {
		d.Digest = expected
	}
	err = w.Commit(ctx, n, expected)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return ocispec.Descriptor{}, err
	}
	fault.Point("image.ingest.committed")
	return d, nil
}

// known skips a stream whose blob is here already.
func (v *vault) known(ctx context.Context, r io.Reader, d digest.Digest) (ocispec.Descriptor, error) {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return ocispec.Descriptor{}, err
	}
	info, err := v.store.Content().Info(ctx, d)
	return ocispec.Descriptor{Digest: d, Size: info.Size}, err
}

// put stores a document and returns its descriptor.
func (v *vault) put(ctx context.Context, mediaType string, document any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return d, content.WriteBlob(ctx, v.store.Content(), "put-"+uuid.NewString(), bytes.NewReader(data), d)
}

// unpack makes the snapshots of an image's layers.
func (v *vault) unpack(ctx context.Context, i *variant) error {
	if has, err := v.store.HasChain(ctx, i.chain); err != nil || has {
		return errors.Join(err, v.store.MakeReady(ctx, i.chain))
	}
	var chain storage.ChainID
	for n, l := range i.manifest.Layers {
		next, err := v.unpackLayer(ctx, chain, storage.DiffID(i.config.RootFS.DiffIDs[n]), l)
		if err != nil {
			return err
		}
		chain = next
	}
	fault.Point("image.unpack.done")
	return v.store.MakeReady(ctx, chain)
}

func (v *vault) unpackLayer(ctx context.Context, parent storage.ChainID, id storage.DiffID, l ocispec.Descriptor) (_ storage.ChainID, err error) {
	blob, err := v.openBlob(ctx, l)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	tar, _, err := archive.Decompress(blob)
	if err != nil {
		return "", fmt.Errorf("layer %s: %w", l.Digest, err)
	}
	defer func() { err = errors.Join(err, tar.Close()) }()
	return v.store.Unpack(ctx, parent, id, tar)
}

// openBlob reads a blob from its beginning.
func (v *vault) openBlob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	ra, err := v.store.Content().ReaderAt(ctx, ocispec.Descriptor{Digest: d.Digest})
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(ra, 0, ra.Size()), ra}, nil
}

// name makes names point to a target, in one transaction with the labels
// that keep everything below it. From then on the image is stored.
func (v *vault) name(ctx context.Context, target ocispec.Descriptor, names ...string) error {
	list, err := v.content.members(ctx, target)
	if err != nil {
		return err
	}
	err = v.store.Transact(ctx, func(ctx context.Context) error {
		if err := v.labelTree(ctx, target, list); err != nil {
			return err
		}
		for _, n := range names {
			if _, err := v.names.put(ctx, n, target, nil); err != nil {
				return err
			}
		}
		return nil
	})
	fault.Point("image.name.committed")
	return err
}

// labelTree sets the labels by which the collector finds what a target refers to. What is not here is left out.
func (v *vault) labelTree(ctx context.Context, target ocispec.Descriptor, list []member) error {
	if images.IsIndexType(target.MediaType) {
		if err := v.labelIndex(ctx, target, 0); err != nil {
			return err
		}
	}
	for _, m := range list {
		if !images.IsManifestType(m.desc.MediaType) || !v.content.has(ctx, m.desc.Digest) {
			continue
		}
		if err := v.labelManifest(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (v *vault) labelIndex(ctx context.Context, d ocispec.Descriptor, depth int) error {
	children, err := v.content.index(ctx, d)
	if errdefs.IsNotFound(err) && depth > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	labels := map[string]string{}
	for n, c := range children {
		labels[fmt.Sprintf("containerd.io/gc.ref.content.m.%d", n)] = c.Digest.String()
		if images.IsIndexType(c.MediaType) && depth < maxNesting {
			if err := v.labelIndex(ctx, c, depth+1); err != nil {
				return err
			}
		}
	}
	return v.label(ctx, d.Digest, labels)
}

func (v *vault) labelManifest(ctx context.Context, m member) error {
	var doc ocispec.Manifest
	if m.variant != nil {
		doc = m.variant.manifest
	} else if err := v.content.json(ctx, m.desc, &doc); err != nil {
		return err
	}
	labels := map[string]string{"containerd.io/gc.ref.content.config": doc.Config.Digest.String()}
	for n, l := range doc.Layers {
		labels[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", n)] = l.Digest.String()
	}
	if err := v.label(ctx, m.desc.Digest, labels); err != nil || m.variant == nil {
		return err
	}
	return v.labelConfig(ctx, m.variant)
}

// ready reports whether an image's layers are unpacked, and are kept as long as the image is.
func (v *vault) ready(ctx context.Context, i *variant) (bool, error) {
	if i.chain == "" {
		return false, nil
	}
	info, err := v.store.Content().Info(ctx, i.manifest.Config.Digest)
	if err != nil {
		return false, err
	}
	if key, value := v.store.ChainLabel(i.chain); info.Labels[key] != value {
		return false, nil
	}
	return v.store.Ready(ctx, i.chain)
}

// labelConfig keeps the image's unpacked layers as long as its config.
func (v *vault) labelConfig(ctx context.Context, i *variant) error {
	if i.chain == "" {
		return nil
	}
	key, value := v.store.ChainLabel(i.chain)
	return v.label(ctx, i.manifest.Config.Digest, map[string]string{key: value})
}

// label adds labels to a blob, and writes nothing where it has them.
func (v *vault) label(ctx context.Context, d digest.Digest, labels map[string]string) error {
	info, err := v.store.Content().Info(ctx, d)
	if err != nil || len(labels) == 0 {
		return err
	}
	merged := maps.Clone(info.Labels)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, labels)
	if maps.Equal(merged, info.Labels) {
		return nil
	}
	_, err = v.store.Content().Update(ctx, content.Info{Digest: d, Labels: merged}, "labels")
	return err
}
