package image

import (
	"context"
	"io"
	"strings"
	"time"

	"gantry/image/archive"
	"gantry/internal/fault"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Progress receives the messages of a long operation, in order.
type Progress func(jsonstream.Message)

// loader reads one archive into the vault.
type loader struct {
	*vault
	only []ocispec.Platform // wanted; none for all
}

// loaded is one image that an archive holds.
type loaded struct {
	target ocispec.Descriptor
	names  []string // as stored; none for an image without a name
}

// Load reads a docker-save or OCI archive, compressed or not. With platforms, only images for these are
// loaded. Errors: invalid argument (not such an archive, or a damaged one), not found (a platform).
func (s *Service) Load(ctx context.Context, r io.Reader, only []ocispec.Platform, p Progress) error {
	defer s.observe("load", time.Now())
	return s.store.During(ctx, func(ctx context.Context) error {
		l := loader{vault: s.vault, only: only}
		contents, err := archive.Read(ctx, r, l.ingest)
		if err != nil {
			return err
		}
		fault.Point("image.load.ingested")
		list, err := l.imagesIn(ctx, contents)
		if err != nil {
			return err
		}
		for _, i := range list {
			if err := l.loadOne(ctx, i); err != nil {
				return err
			}
			s.announce(i, p)
		}
		return nil
	})
}

// imagesIn finds the images of an archive. An index.json says more than a manifest.json beside it.
func (l loader) imagesIn(ctx context.Context, c *archive.Contents) ([]loaded, error) {
	index, manifest := c.Small[archive.IndexFile], c.Small[archive.ManifestFile]
	switch {
	case index != nil && (manifest == nil || c.Small[archive.LayoutFile] != nil):
		return imagesOfLayout(index)
	case manifest != nil:
		return l.imagesOfDockerSave(ctx, c, manifest)
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage("unrecognized image format: the archive has neither manifest.json nor index.json")
}

func imagesOfLayout(data []byte) ([]loaded, error) {
	index, err := archive.ParseIndex(data)
	if err != nil {
		return nil, err
	}
	var out []loaded
	for _, d := range index.Manifests {
		if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid archive: media type " + d.MediaType + " is not an image")
		}
		i := loaded{target: d}
		if name, ok := layoutName(d.Annotations); ok {
			i.names = []string{name}
		}
		out = append(out, i)
	}
	return out, nil
}

// layoutName is the name that an index.json gives an image: containerd's annotation has
// all of it, OCI's usually the tag alone.
func layoutName(annotations map[string]string) (string, bool) {
	name := annotations[images.AnnotationImageName]
	if ref := annotations[ocispec.AnnotationRefName]; name == "" && strings.ContainsAny(ref, "/:") {
		name = ref
	}
	if name == "" || isDangling(name) {
		return "", false
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", false
	}
	return reference.TagNameOnly(named).String(), true
}

// imagesOfDockerSave makes a manifest for each image of a manifest.json.
func (l loader) imagesOfDockerSave(ctx context.Context, c *archive.Contents, data []byte) ([]loaded, error) {
	entries, err := archive.ParseManifest(data)
	if err != nil {
		return nil, err
	}
	var out []loaded
	for _, e := range entries {
		target, err := l.manifestOf(ctx, c, e)
		if err != nil {
			return nil, err
		}
		i := loaded{target: target}
		for _, tag := range e.RepoTags {
			named, err := reference.ParseNormalizedNamed(tag)
			if err != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage("invalid archive: name " + tag + ": " + err.Error())
			}
			i.names = append(i.names, reference.TagNameOnly(named).String())
		}
		out = append(out, i)
	}
	return out, nil
}

func (l loader) manifestOf(ctx context.Context, c *archive.Contents, e archive.Entry) (ocispec.Descriptor, error) {
	config, err := c.Find(e.Config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	config.MediaType = images.MediaTypeDockerSchema2Config
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: images.MediaTypeDockerSchema2Manifest, Config: config}
	for _, name := range e.Layers {
		layer, err := c.Find(name)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		if layer.MediaType, err = l.layerType(ctx, layer); err != nil {
			return ocispec.Descriptor{}, err
		}
		m.Layers = append(m.Layers, layer)
	}
	return l.put(ctx, m.MediaType, m)
}

// layerType is the media type of a layer that comes without one.
func (l loader) layerType(ctx context.Context, layer ocispec.Descriptor) (string, error) {
	blob, err := l.openBlob(ctx, layer)
	if err != nil {
		return "", err
	}
	defer blob.Close() //nolint:errcheck // only read from
	compression, _, err := archive.Detect(blob)
	switch compression {
	case archive.Gzip:
		return images.MediaTypeDockerSchema2LayerGzip, err
	case archive.Zstd:
		return images.MediaTypeDockerSchema2LayerZstd, err
	}
	return images.MediaTypeDockerSchema2Layer, err
}

// loadOne verifies, unpacks and names one image.
func (l loader) loadOne(ctx context.Context, i loaded) error {
	i.target.Annotations = nil
	list, err := l.content.members(ctx, i.target)
	if err != nil {
		return err
	}
	chosen, err := toUnpack(list, l.only)
	if err != nil {
		return err
	}
	for _, v := range chosen {
		for _, layer := range v.manifest.Layers {
			if !l.content.has(ctx, layer.Digest) {
				return errdefs.ErrInvalidArgument.WithMessage("invalid archive: layer " + layer.Digest.String() + " is not in it")
			}
		}
		if err := l.unpack(ctx, v); err != nil {
			return err
		}
	}
	names := i.names
	if len(names) == 0 {
		same, err := l.names.withTarget(ctx, i.target.Digest)
		if err != nil || len(same) > 0 {
			return err // it is here, with or without a name
		}
		names = []string{danglingName(i.target.Digest)}
	}
	return l.name(ctx, i.target, names...)
}

// toUnpack chooses the variants that containers are likely to run: those asked for, else those
// for this host, else the first. Errors: not found.
func toUnpack(list []member, only []ocispec.Platform) ([]*variant, error) {
	wanted := platforms.Default()
	if len(only) > 0 {
		wanted = platforms.Any(only...)
	}
	var first *variant
	var out []*variant
	for _, m := range list {
		if m.variant == nil {
			continue
		}
		if first == nil {
			first = m.variant
		}
		if wanted.Match(m.variant.platform) {
			out = append(out, m.variant)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case first == nil:
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid archive: it holds no complete image")
	case len(only) > 0:
		return nil, errdefs.ErrNotFound.WithMessage("the archive holds no image for the requested platform")
	}
	return []*variant{first}, nil
}

func (s *Service) announce(i loaded, p Progress) {
	id := i.target.Digest.String()
	if len(i.names) == 0 {
		p(jsonstream.Message{Stream: "Loaded image ID: " + id + "\n"})
		s.journal.image(events.ActionLoad, id, id, nil)
	}
	for _, n := range i.names {
		p(jsonstream.Message{Stream: "Loaded image: " + familiar(n) + "\n"})
		s.journal.image(events.ActionLoad, id, familiar(n), nil)
	}
}
