package image

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"gantry/image/archive"
	"gantry/image/instruction"
	"gantry/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/klauspost/compress/gzip"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// emptyLayer is the diff ID of a tar without files: 1024 zero bytes.
const emptyLayer = digest.Digest("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")

// ImportOptions of POST /images/create?fromSrc=.
type ImportOptions struct {
	Repo, Tag, Message string
	Changes            []string // Dockerfile instructions
	Platform           *ocispec.Platform
}

// Import makes an image of one layer from a root file system tar, and returns its ID. Errors: invalid argument.
func (s *Service) Import(ctx context.Context, r io.Reader, o ImportOptions) (string, error) {
	name, err := optionalName(o.Repo, o.Tag)
	if err != nil {
		return "", err
	}
	var config container.Config
	if err := ApplyChanges(&config, o.Changes); err != nil {
		return "", err
	}
	platform := hostPlatform()
	if o.Platform != nil {
		platform = normalPlatform(*o.Platform)
	}
	now := time.Now().UTC()
	spec := dockerspec.DockerOCIImage{
		Image: ocispec.Image{
			Created: &now, Platform: platform, RootFS: ocispec.RootFS{Type: "layers"},
			History: []ocispec.History{{Created: &now, Comment: o.Message}},
		},
		Config: instruction.ImageConfig(&config),
	}
	var id digest.Digest
	err = s.store.During(ctx, func(ctx context.Context) error {
		layer, diffID, err := s.vault.ingestLayer(ctx, r)
		if err != nil {
			return err
		}
		spec.RootFS.DiffIDs = []digest.Digest{diffID}
		id, err = s.vault.create(ctx, spec, []ocispec.Descriptor{layer}, name)
		return err
	})
	if err != nil {
		return "", err
	}
	shown := familiar(name)
	if name == "" {
		shown = id.String()
	}
	s.journal.image(events.ActionImport, id.String(), shown, spec.Config.Labels)
	return id.String(), nil
}

// CommitOptions of POST /commit.
type CommitOptions struct {
	ContainerID, ParentID string // ParentID: Image.ID of the container's image; "" for none
	ParentPlatform        *ocispec.Platform
	Repo, Tag             string // both "" for an untagged image
	Author, Message       string
	Config                *container.Config // the new image's config, changes applied
	Layer                 io.Reader         // uncompressed tar
}

// Commit makes an image of a container: its image's layers, and one more with what it changed. Errors: not found
// (parent), invalid argument (name).
func (s *Service) Commit(ctx context.Context, o CommitOptions) (id string, err error) {
	name, err := optionalName(o.Repo, o.Tag)
	if err != nil {
		return "", err
	}
	var target digest.Digest
	var labels map[string]string
	err = s.store.During(ctx, func(ctx context.Context) error {
		spec, layers, err := s.commitBase(ctx, o)
		if err != nil {
			return err
		}
		layer, diffID, err := s.vault.ingestLayer(ctx, o.Layer)
		if err != nil {
			return err
		}
		last := &spec.History[len(spec.History)-1]
		if diffID == emptyLayer {
			last.EmptyLayer = true
		} else {
			layers = append(layers, layer)
			spec.RootFS.DiffIDs = append(spec.RootFS.DiffIDs, diffID)
		}
		labels = spec.Config.Labels
		target, err = s.vault.create(ctx, spec, layers, name)
		return err
	})
	if err != nil {
		return "", err
	}
	s.journal.image(events.ActionCreate, target.String(), target.String(), labels)
	if name != "" {
		s.journal.image(events.ActionTag, target.String(), familiar(name), labels)
	}
	return target.String(), nil
}

// commitBase is the new image before its layer is known: the parent's layers and history, and the step that the commit is.
func (s *Service) commitBase(ctx context.Context, o CommitOptions) (dockerspec.DockerOCIImage, []ocispec.Descriptor, error) {
	now := time.Now().UTC()
	spec := dockerspec.DockerOCIImage{Image: ocispec.Image{Platform: hostPlatform(), RootFS: ocispec.RootFS{Type: "layers"}}}
	var layers []ocispec.Descriptor
	if o.ParentID != "" {
		found, err := s.names.find(ctx, o.ParentID)
		if err != nil {
			return spec, nil, err
		}
		v, err := s.content.variant(ctx, found.target, o.ParentPlatform, o.ParentID)
		if err != nil {
			return spec, nil, err
		}
		spec = cloneConfig(v.config)
		layers = slices.Clone(v.manifest.Layers)
		if !s.content.complete(ctx, layers) {
			return spec, nil, errdefs.ErrNotFound.WithMessage("layers of the container's image " + short(o.ParentID) + " are not here")
		}
	}
	step := ocispec.History{Created: &now, Author: o.Author, Comment: o.Message}
	if o.Config != nil {
		spec.Config = instruction.ImageConfig(o.Config)
		step.CreatedBy = strings.Join(o.Config.Cmd, " ")
	}
	spec.Created, spec.Author = &now, o.Author
	spec.History = append(spec.History, step)
	return spec, layers, nil
}

func hostPlatform() ocispec.Platform {
	p := platforms.DefaultSpec()
	return ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
}

// create stores an image, unpacks it and gives it its name; "" leaves it dangling.
func (v *vault) create(ctx context.Context, spec dockerspec.DockerOCIImage, layers []ocispec.Descriptor, name string) (digest.Digest, error) {
	config, err := v.put(ctx, ocispec.MediaTypeImageConfig, spec)
	if err != nil {
		return "", err
	}
	if layers == nil {
		layers = []ocispec.Descriptor{} // null is not a list of layers
	}
	target, err := v.put(ctx, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers,
	})
	if err != nil {
		return "", err
	}
	fault.Point("image.create.stored")
	image, err := v.content.manifest(ctx, target)
	if err != nil {
		return "", err
	}
	if err := v.unpack(ctx, image); err != nil {
		return "", err
	}
	if name == "" {
		name = danglingName(target.Digest)
	}
	return target.Digest, v.name(ctx, target, name)
}

// ingestLayer stores a layer as a blob: compressed as it comes (gzip, zstd), else gzip.
// Errors: not implemented (xz), invalid argument.
func (v *vault) ingestLayer(ctx context.Context, r io.Reader) (layer ocispec.Descriptor, diffID digest.Digest, err error) {
	kind, head, err := archive.Detect(r)
	if err != nil {
		return layer, "", err
	}
	switch kind {
	case archive.Gzip, archive.Zstd:
		return v.ingestCompressed(ctx, head, kind)
	}
	plain, _, err := archive.Decompress(head)
	if err != nil {
		return layer, "", err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	digester := digest.Canonical.Digester()
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pw.CloseWithError(compress(pw, io.TeeReader(plain, digester.Hash())))
	}()
	layer, err = v.ingest(ctx, pr, -1, "")
	err = errors.Join(err, pr.Close())
	<-done
	layer.MediaType = ocispec.MediaTypeImageLayerGzip
	return layer, digester.Digest(), err
}

// compress writes gzip without a time, so that equal layers are equal blobs.
func compress(w io.Writer, r io.Reader) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(z, struct{ io.Reader }{r}, make([]byte, 1<<17)); err != nil {
		return errors.Join(err, z.Close())
	}
	return z.Close()
}

// ingestCompressed stores the bytes as they are, and reads them again for the diff ID.
func (v *vault) ingestCompressed(ctx context.Context, r io.Reader, kind archive.Compression) (layer ocispec.Descriptor, diffID digest.Digest, err error) {
	layer, err = v.ingest(ctx, r, -1, "")
	if err != nil {
		return layer, "", err
	}
	layer.MediaType = ocispec.MediaTypeImageLayerGzip
	if kind == archive.Zstd {
		layer.MediaType = ocispec.MediaTypeImageLayerZstd
	}
	blob, err := v.openBlob(ctx, layer)
	if err != nil {
		return layer, "", err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	plain, _, err := archive.Decompress(blob)
	if err != nil {
		return layer, "", errdefs.ErrInvalidArgument.WithMessage("layer: " + err.Error())
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	digester := digest.Canonical.Digester()
	if _, err := io.Copy(digester.Hash(), plain); err != nil {
		return layer, "", errdefs.ErrInvalidArgument.WithMessage("layer: " + err.Error())
	}
	return layer, digester.Digest(), nil
}
