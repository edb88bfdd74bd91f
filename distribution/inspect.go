package distribution

import (
	"context"
	"encoding/json"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Inspect says what a registry has under a name, without pulling it. Errors: invalid argument, unauthorized, and as those of Pull.
func (s *Service) Inspect(ctx context.Context, name string, c Credentials) (*registry.DistributionInspect, error) {
	parsed, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	ref := reference.TagNameOnly(parsed)
	r, err := s.open(ctx, ref, c)
	if err != nil {
		return nil, err
	}
	ctx = r.scope(ctx, "pull")
	doc, err := r.manifest(ctx, identifier(ref))
	if err != nil {
		return nil, pullError(ref, err)
	}
	out := &registry.DistributionInspect{Descriptor: doc.desc, Platforms: []ocispec.Platform{}}
	if images.IsIndexType(doc.desc.MediaType) {
		index, err := parseIndex(doc.data)
		if err != nil {
			return nil, err
		}
		for _, d := range index.Manifests {
			if d.Platform != nil {
				out.Platforms = append(out.Platforms, *d.Platform)
			}
		}
		return out, nil
	}
	m, err := parseManifest(doc.data)
	if err != nil || !images.IsConfigType(m.Config.MediaType) {
		return out, err
	}
	data, err := r.small(ctx, m.Config)
	if err != nil {
		return nil, err
	}
	var p ocispec.Platform
	if err := json.Unmarshal(data, &p); err == nil && (p.OS != "" || p.Architecture != "") {
		out.Platforms = append(out.Platforms, p)
	}
	return out, nil
}
