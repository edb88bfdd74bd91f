package image

import (
	"context"
	"sort"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// member is one manifest of an image. Contexts must carry the namespace.
type member struct {
	desc    ocispec.Descriptor
	variant *variant // nil if it is not here, or is not an image
	kind    memberKind
}

type memberKind int

const (
	kindImage memberKind = iota
	kindAttestation
	kindUnknown
)

// annotationKind marks what BuildKit attaches to an index beside its images.
const (
	annotationKind    = "vnd.docker.reference.type"
	annotationSubject = "vnd.docker.reference.digest"
	attestation       = "attestation-manifest"
)

// members lists the manifests of a target: one, or those of its index. What is not here has no variant.
func (r *reader) members(ctx context.Context, target ocispec.Descriptor) ([]member, error) {
	return r.collect(ctx, target, 0)
}

func (r *reader) collect(ctx context.Context, d ocispec.Descriptor, depth int) ([]member, error) {
	switch {
	case images.IsManifestType(d.MediaType):
		m, err := r.member(ctx, d)
		return []member{m}, err
	case !images.IsIndexType(d.MediaType):
		return []member{{desc: d, kind: kindUnknown}}, nil
	case depth >= maxNesting:
		return nil, broken(d, "indexes are nested deeper than %d", maxNesting)
	}
	children, err := r.index(ctx, d)
	if errdefs.IsNotFound(err) && depth > 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []member
	for _, c := range children {
		list, err := r.collect(ctx, c, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

func (r *reader) member(ctx context.Context, d ocispec.Descriptor) (member, error) {
	m := member{desc: d}
	if d.Annotations[annotationKind] == attestation {
		m.kind = kindAttestation
		return m, nil
	}
	v, err := r.manifest(ctx, d)
	if errdefs.IsNotFound(err) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if v.artifact {
		m.kind = kindUnknown
		return m, nil
	}
	m.variant = v
	return m, nil
}

// variant chooses the manifest for a platform, or without one that which fits
// this host best, or any. ref is what an error calls the image. Errors: not found.
func (r *reader) variant(ctx context.Context, target ocispec.Descriptor, platform *ocispec.Platform, ref string) (*variant, error) {
	list, err := r.members(ctx, target)
	if err != nil {
		return nil, err
	}
	wanted := platforms.Default()
	if platform != nil {
		wanted = platforms.Only(platforms.Normalize(*platform))
	}
	var here []*variant
	for _, m := range list {
		if m.variant != nil && (platform == nil || wanted.Match(m.variant.platform)) {
			here = append(here, m.variant)
		}
	}
	if len(here) == 0 {
		return nil, noPlatform(ref, platform)
	}
	sort.SliceStable(here, func(i, j int) bool {
		a, b := wanted.Match(here[i].platform), wanted.Match(here[j].platform)
		if a != b {
			return a
		}
		return a && wanted.Less(here[i].platform, here[j].platform)
	})
	return here[0], nil
}

func noPlatform(ref string, platform *ocispec.Platform) error {
	what := "any platform"
	if platform != nil {
		what = "the specified platform (" + platforms.FormatAll(platforms.Normalize(*platform)) + ")"
	}
	return errdefs.ErrNotFound.WithMessage("image with reference " + ref + " was found but does not provide " + what)
}

func normalPlatform(p ocispec.Platform) ocispec.Platform {
	if p.OS == "" {
		p.OS = "linux"
	}
	return platforms.Normalize(p)
}
