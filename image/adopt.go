package image

import (
	"bytes"
	"context"

	"gantry/internal/fault"
	"gantry/storage"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Adopted is an image of another engine's store, whose layers have been adopted.
type Adopted struct {
	Config []byte           // as it is
	Layers []storage.DiffID // lowest first
	Names  []string         // normal forms, with tag or digest; none for a dangling image
}

// Adopt gives an image a manifest that names its layers as what they are here, uncompressed tars, and its names. The
// manifest is what loading the image from a docker-save archive would make, so equal images are one. What is there
// already stays. Errors: not found (a layer).
func (s *Service) Adopt(ctx context.Context, a Adopted) (*Image, error) {
	var found *Image
	err := s.store.During(ctx, func(ctx context.Context) error {
		target, err := s.vault.putAdopted(ctx, a)
		if err != nil {
			return err
		}
		fault.Point("image.adopt.stored")
		names := a.Names
		if len(names) == 0 {
			names = []string{danglingName(target.Digest)}
		}
		if err := s.vault.name(ctx, target, names...); err != nil {
			return err
		}
		found, err = s.Resolve(ctx, target.Digest.String(), nil)
		return err
	})
	return found, err
}

func (v *vault) putAdopted(ctx context.Context, a Adopted) (ocispec.Descriptor, error) {
	config := ocispec.Descriptor{MediaType: images.MediaTypeDockerSchema2Config, Digest: digest.FromBytes(a.Config), Size: int64(len(a.Config))}
	if err := content.WriteBlob(ctx, v.store.Content(), "put-"+uuid.NewString(), bytes.NewReader(a.Config), config); err != nil {
		return config, err
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: images.MediaTypeDockerSchema2Manifest,
		Config: config, Layers: []ocispec.Descriptor{},
	}
	for _, l := range a.Layers {
		info, err := v.store.Content().Info(ctx, digest.Digest(l))
		if err != nil {
			return config, err
		}
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: images.MediaTypeDockerSchema2Layer, Digest: info.Digest, Size: info.Size})
	}
	return v.put(ctx, m.MediaType, m)
}
