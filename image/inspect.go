package image

import (
	"context"
	"time"

	api "github.com/moby/moby/api/types/image"
	apistorage "github.com/moby/moby/api/types/storage"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// InspectOptions of GET /images/{name}/json.
type InspectOptions struct {
	Manifests bool
	Platform  *ocispec.Platform
}

// Inspect describes an image, for the platform asked for or this host's. Errors: those of Resolve.
func (s *Service) Inspect(ctx context.Context, ref string, o InspectOptions) (*api.InspectResponse, error) {
	ctx = s.store.Context(ctx)
	e, err := s.shelf.entry(ctx, ref)
	if err != nil {
		return nil, err
	}
	v, err := s.content.variant(ctx, e.target, o.Platform, ref)
	if err != nil {
		return nil, err
	}
	p, err := s.shelf.memberParts(ctx, member{desc: v.desc, variant: v})
	if err != nil {
		return nil, err
	}
	target := e.target
	out := describe(v)
	out.ID = e.target.Digest.String()
	out.RepoTags, out.RepoDigests = e.repo()
	out.Size = p.total()
	out.Descriptor = &target
	name, _ := s.store.Driver()
	out.GraphDriver = &apistorage.DriverData{Name: name}
	for _, i := range e.names {
		if i.UpdatedAt.After(out.Metadata.LastTagTime) {
			out.Metadata.LastTagTime = i.UpdatedAt
		}
	}
	if o.Manifests && o.Platform == nil {
		out.Manifests, err = s.shelf.manifestSummaries(ctx, e.target, e.members)
	}
	return out, err
}

// describe fills what an image's config says.
func describe(v *variant) *api.InspectResponse {
	c := cloneConfig(v.config)
	out := &api.InspectResponse{
		Author:       c.Author,
		Config:       &c.Config,
		Architecture: v.platform.Architecture,
		Variant:      v.platform.Variant,
		Os:           v.platform.OS,
		OsVersion:    c.OSVersion,
		RootFS:       api.RootFS{Type: "layers"},
	}
	if c.Created != nil {
		out.Created = c.Created.Format(time.RFC3339Nano)
	}
	for _, id := range c.RootFS.DiffIDs {
		out.RootFS.Layers = append(out.RootFS.Layers, id.String())
	}
	if n := len(c.History); n > 0 {
		out.Comment = c.History[n-1].Comment
	}
	return out
}

// entry finds an image with all of its names.
func (s *shelf) entry(ctx context.Context, ref string) (*entry, error) {
	found, err := s.names.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	names, err := s.names.withTarget(ctx, found.target.Digest)
	if err != nil {
		return nil, err
	}
	e := &entry{target: found.target, names: names}
	e.members, err = s.content.members(ctx, e.target)
	return e, err
}

// History lists the steps that made an image, the last first. Sizes are of the unpacked layers. Errors: those of Resolve.
func (s *Service) History(ctx context.Context, ref string, platform *ocispec.Platform) ([]api.HistoryResponseItem, error) {
	ctx = s.store.Context(ctx)
	e, err := s.shelf.entry(ctx, ref)
	if err != nil {
		return nil, err
	}
	v, err := s.content.variant(ctx, e.target, platform, ref)
	if err != nil {
		return nil, err
	}
	p, err := s.shelf.memberParts(ctx, member{desc: v.desc, variant: v})
	if err != nil {
		return nil, err
	}
	out := []api.HistoryResponseItem{}
	layer := 0
	for _, h := range v.config.History {
		item := api.HistoryResponseItem{ID: "<missing>", Comment: h.Comment, CreatedBy: h.CreatedBy}
		if h.Created != nil {
			item.Created = h.Created.Unix()
		}
		if !h.EmptyLayer && layer < len(v.chains) {
			item.Size = p.chains[string(v.chains[layer])]
			layer++
		}
		out = append([]api.HistoryResponseItem{item}, out...)
	}
	if len(out) > 0 {
		out[0].ID = e.target.Digest.String()
		out[0].Tags, _ = e.repo()
	}
	return out, nil
}
