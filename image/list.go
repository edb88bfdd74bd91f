package image

import (
	"context"
	"slices"
	"sort"
	"time"

	"gantry/internal/filter"
	"gantry/storage"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	api "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ListOptions of GET /images/json.
type ListOptions struct {
	All, SharedSize, Manifests bool
	Filters                    filter.Args
}

// shelf shows images. Contexts must carry the namespace.
type shelf struct {
	store   *storage.Service
	names   *catalog
	content *reader
	holds   *holds
}

// entry is one image with its names and what is known of it.
type entry struct {
	target  ocispec.Descriptor
	names   []images.Image // dangling ones included
	members []member
	best    *variant // nil if no platform of it is here
}

// created is when the image was made; for an artifact, when it came here.
func (e *entry) created() time.Time {
	if e.best != nil && e.best.config.Created != nil {
		return *e.best.config.Created
	}
	if e.best != nil || len(e.names) == 0 {
		return time.Time{}
	}
	return e.names[0].CreatedAt
}

func (e *entry) labels() map[string]string {
	if e.best == nil {
		return nil
	}
	return e.best.config.Config.Labels
}

func (e *entry) dangling() bool {
	return !slices.ContainsFunc(e.names, func(i images.Image) bool { return !isDangling(i.Name) })
}

// repo returns the names that users see, as tags and as digests. The digest is the target's, but an adopted
// image's is that which the registry had for it: its own manifest is in no registry.
func (e *entry) repo() (tags, digests []string) {
	tags, digests = []string{}, []string{}
	foreign := map[string]bool{} // repositories that have a digest of another manifest
	var plain []reference.Named
	for _, i := range e.names {
		named, err := reference.ParseNormalizedNamed(i.Name)
		if err != nil || isDangling(i.Name) {
			continue
		}
		if _, ok := named.(reference.Tagged); ok {
			tags = append(tags, reference.FamiliarString(named))
		}
		if d, ok := named.(reference.Digested); ok && d.Digest() != e.target.Digest {
			foreign[named.Name()] = true
			digests = append(digests, reference.FamiliarName(named)+"@"+d.Digest().String())
			continue
		}
		plain = append(plain, named)
	}
	for _, named := range plain {
		if !foreign[named.Name()] {
			digests = append(digests, reference.FamiliarName(named)+"@"+e.target.Digest.String())
		}
	}
	sort.Strings(tags)
	sort.Strings(digests)
	return tags, slices.Compact(digests)
}

// entries returns all images, in no order. A broken one is there without a variant.
func (s *shelf) entries(ctx context.Context) ([]*entry, error) {
	all, err := s.names.all(ctx)
	if err != nil {
		return nil, err
	}
	byID := map[digest.Digest]*entry{}
	var out []*entry
	for _, i := range all {
		e := byID[i.Target.Digest]
		if e == nil {
			e = &entry{target: i.Target}
			byID[i.Target.Digest] = e
			out = append(out, e)
		}
		e.names = append(e.names, i)
	}
	for _, e := range out {
		s.fill(ctx, e)
	}
	return out, nil
}

// fill reads an image's documents. One that cannot be read must not hide the others.
func (s *shelf) fill(ctx context.Context, e *entry) {
	list, err := s.content.members(ctx, e.target)
	if err != nil {
		return
	}
	e.members = list
	if v, err := s.content.variant(ctx, e.target, nil, ""); err == nil {
		e.best = v
	}
}

// List returns the images that match, newest first. Errors: invalid argument (filter), not found (image of before or since).
func (s *Service) List(ctx context.Context, o ListOptions) ([]api.Summary, error) {
	return s.shelf.list(s.store.Context(ctx), o)
}

func (s *shelf) list(ctx context.Context, o ListOptions) ([]api.Summary, error) {
	keep, err := s.listFilter(ctx, o.Filters)
	if err != nil {
		return nil, err
	}
	all, err := s.entries(ctx)
	if err != nil {
		return nil, err
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].created().After(all[j].created()) })
	shared, err := s.sharedSizes(ctx, all, o.SharedSize)
	if err != nil {
		return nil, err
	}
	out := []api.Summary{}
	for _, e := range all {
		if !keep(e) {
			continue
		}
		sum, err := s.summary(ctx, e, o.Manifests)
		if err != nil {
			return nil, err
		}
		if o.SharedSize {
			sum.SharedSize = shared[e.target.Digest]
		}
		out = append(out, sum)
	}
	return out, nil
}

func (s *shelf) summary(ctx context.Context, e *entry, manifests bool) (api.Summary, error) {
	p, err := s.partsOf(ctx, e.target, e.members)
	if err != nil {
		return api.Summary{}, err
	}
	target := e.target
	out := api.Summary{
		Containers: int64(len(s.holds.of(e.target.Digest.String()))),
		Created:    e.created().Unix(),
		ID:         e.target.Digest.String(),
		Labels:     e.labels(),
		Descriptor: &target,
		SharedSize: -1,
		Size:       p.total(),
	}
	if e.created().IsZero() {
		out.Created = 0
	}
	out.RepoTags, out.RepoDigests = e.repo()
	if manifests {
		out.Manifests, err = s.manifestSummaries(ctx, e.target, e.members)
	}
	return out, err
}

// sharedSizes returns for each image how much of it another one has too.
func (s *shelf) sharedSizes(ctx context.Context, all []*entry, wanted bool) (map[digest.Digest]int64, error) {
	if !wanted {
		return nil, nil
	}
	users := map[string]int{}
	sizes := map[digest.Digest]*parts{}
	for _, e := range all {
		p, err := s.partsOf(ctx, e.target, e.members)
		if err != nil {
			return nil, err
		}
		sizes[e.target.Digest] = p
		for c := range p.chains {
			users[c]++
		}
		for b := range p.blobs {
			users[b.String()+" blob"]++
		}
	}
	out := map[digest.Digest]int64{}
	for id, p := range sizes {
		for c, n := range p.chains {
			if users[c] > 1 {
				out[id] += n
			}
		}
		for b, n := range p.blobs {
			if users[b.String()+" blob"] > 1 {
				out[id] += n
			}
		}
	}
	return out, nil
}

// manifestSummaries describes each manifest of an image.
func (s *shelf) manifestSummaries(ctx context.Context, target ocispec.Descriptor, list []member) ([]api.ManifestSummary, error) {
	var out []api.ManifestSummary
	for _, m := range list {
		p, err := s.memberParts(ctx, m)
		if err != nil {
			return nil, err
		}
		sum := api.ManifestSummary{ID: m.desc.Digest.String(), Descriptor: m.desc, Kind: api.ManifestKindUnknown}
		sum.Available = available(p, m)
		sum.Size.Content, sum.Size.Total = p.content(), p.total()
		switch m.kind {
		case kindImage:
			sum.Kind = api.ManifestKindImage
			sum.ImageData = s.imageData(target, m, p)
		case kindAttestation:
			sum.Kind = api.ManifestKindAttestation
			sum.AttestationData = &api.AttestationProperties{For: digest.Digest(m.desc.Annotations[annotationSubject])}
		}
		out = append(out, sum)
	}
	return out, nil
}

func (s *shelf) imageData(target ocispec.Descriptor, m member, p *parts) *api.ImageProperties {
	data := &api.ImageProperties{Containers: []string{}}
	switch {
	case m.variant != nil:
		data.Platform = m.variant.platform
	case m.desc.Platform != nil:
		data.Platform = *m.desc.Platform
	}
	data.Size.Unpacked = p.unpacked()
	if m.variant != nil {
		for _, h := range s.holds.of(target.Digest.String()) {
			data.Containers = append(data.Containers, h.ID)
		}
	}
	return data
}

// available reports whether all blobs of a manifest are here.
func available(p *parts, m member) bool {
	if m.variant == nil {
		return m.kind != kindImage && len(p.blobs) > 0
	}
	for _, d := range append([]ocispec.Descriptor{m.desc, m.variant.manifest.Config}, m.variant.manifest.Layers...) {
		if _, ok := p.blobs[d.Digest]; !ok {
			return false
		}
	}
	return true
}
