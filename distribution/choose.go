package distribution

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What BuildKit attaches to an index beside its images.
const (
	annotationKind    = "vnd.docker.reference.type"
	annotationSubject = "vnd.docker.reference.digest"
	attestation       = "attestation-manifest"
)

// chosen is what of a target is pulled.
type chosen struct {
	documents    []*document // indexes, from the target down, and the manifest
	manifest     ocispec.Manifest
	config       []byte
	diffIDs      []digest.Digest
	attestations []ocispec.Descriptor
}

// choose descends from a target to the manifest of a platform; nil is the one that fits this host.
func (r *repository) choose(ctx context.Context, target *document, platform *ocispec.Platform) (*chosen, error) {
	c := &chosen{documents: []*document{target}}
	top := target
	for depth := 0; images.IsIndexType(top.desc.MediaType); depth++ {
		if depth == maxNesting {
			return nil, wrong("%s: indexes are nested deeper than %d", target.desc.Digest, maxNesting)
		}
		index, err := parseIndex(top.data)
		if err != nil {
			return nil, err
		}
		d, err := pick(index.Manifests, platform)
		if err != nil {
			return nil, err
		}
		for _, a := range index.Manifests {
			if a.Annotations[annotationKind] == attestation && a.Annotations[annotationSubject] == d.Digest.String() {
				c.attestations = append(c.attestations, a)
			}
		}
		if top, err = r.child(ctx, d); err != nil {
			return nil, err
		}
		c.documents = append(c.documents, top)
	}
	var err error
	if c.manifest, err = parseManifest(top.data); err != nil {
		return nil, err
	}
	if !images.IsConfigType(c.manifest.Config.MediaType) {
		return nil, wrong("%s is not an image that can be run: its config is a %q", top.desc.Digest, printable(c.manifest.Config.MediaType))
	}
	for _, l := range c.manifest.Layers {
		if !images.IsLayerType(l.MediaType) {
			return nil, wrong("%s: unknown layer media type %q", l.Digest, printable(l.MediaType))
		}
	}
	if c.config, err = r.small(ctx, c.manifest.Config); err != nil {
		return nil, err
	}
	return c, c.checkConfig(platform, len(c.documents) == 1)
}

// child fetches a document that an index lists, and holds it against its descriptor.
func (r *repository) child(ctx context.Context, d ocispec.Descriptor) (*document, error) {
	doc, err := r.manifest(ctx, d.Digest.String())
	if err != nil {
		return nil, err
	}
	if doc.desc.Size != d.Size {
		return nil, wrong("%s has %d bytes, not %d", d.Digest, doc.desc.Size, d.Size)
	}
	if doc.desc.MediaType != d.MediaType {
		return nil, wrong("%s is a %q, and listed as a %q", d.Digest, doc.desc.MediaType, printable(d.MediaType))
	}
	return doc, nil
}

// pick finds the best match for a platform. An entry without one is an index or an old image, and better than none.
func pick(list []ocispec.Descriptor, platform *ocispec.Platform) (ocispec.Descriptor, error) {
	wanted := platforms.DefaultSpec()
	if platform != nil {
		wanted = platforms.Normalize(*platform)
	}
	m := platforms.Only(wanted)
	var fit, unknown []ocispec.Descriptor
	for _, d := range list {
		switch {
		case d.Annotations[annotationKind] != "" || !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType):
		case d.Platform == nil:
			unknown = append(unknown, d)
		case m.Match(platforms.Normalize(*d.Platform)):
			fit = append(fit, d)
		}
	}
	sort.SliceStable(fit, func(i, j int) bool {
		return m.Less(platforms.Normalize(*fit[i].Platform), platforms.Normalize(*fit[j].Platform))
	})
	if fit = append(fit, unknown...); len(fit) > 0 {
		return fit[0], nil
	}
	return ocispec.Descriptor{}, errdefs.ErrNotFound.WithMessage(
		fmt.Sprintf("no matching manifest for %s in the manifest list entries", platforms.FormatAll(wanted)))
}

// checkConfig reads the diff IDs. single: no index has said what platform this is.
func (c *chosen) checkConfig(platform *ocispec.Platform, single bool) error {
	var config ocispec.Image
	if err := json.Unmarshal(c.config, &config); err != nil {
		return wrong("invalid image config %s: %v", c.manifest.Config.Digest, err)
	}
	c.diffIDs = config.RootFS.DiffIDs
	if len(c.diffIDs) != len(c.manifest.Layers) {
		return wrong("invalid image config %s: it names %d layers, the manifest %d", c.manifest.Config.Digest, len(c.diffIDs), len(c.manifest.Layers))
	}
	for _, id := range c.diffIDs {
		if err := id.Validate(); err != nil {
			return wrong("invalid image config %s: diff ID %q", c.manifest.Config.Digest, printable(string(id)))
		}
	}
	if platform != nil && single && config.OS != "" && !platforms.Only(platforms.Normalize(*platform)).Match(platforms.Normalize(config.Platform)) {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no matching manifest for %s: the image is for %s",
			platforms.FormatAll(platforms.Normalize(*platform)), printable(platforms.FormatAll(platforms.Normalize(config.Platform)))))
	}
	return nil
}
