package image

import (
	"context"
	"io"
	"maps"
	"slices"

	"gantry/image/archive"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// saved is one image to save, with the names that go with it.
type saved struct {
	ref    string // as the user gave it
	target ocispec.Descriptor
	names  []string // stored ones
}

// Save writes a tar that is both an OCI layout and a docker-save archive. A repository without a
// tag stands for all of its tags. With platforms, only these are written. Errors: those of Resolve, before the first byte.
func (s *Service) Save(ctx context.Context, w io.Writer, refs []string, only []ocispec.Platform) error {
	return s.store.During(ctx, func(ctx context.Context) error {
		list, err := s.toSave(ctx, refs)
		if err != nil {
			return err
		}
		for n := range list {
			if list[n].target, err = s.narrow(ctx, list[n], only); err != nil {
				return err
			}
		}
		out, err := archive.NewWriter(w)
		if err != nil {
			return err
		}
		for _, i := range list {
			if err := s.saveOne(ctx, out, i, only); err != nil {
				return err
			}
			s.journal.image(events.ActionSave, i.target.Digest.String(), i.ref, nil)
		}
		return out.Close()
	})
}

// toSave finds the images, each once, with their names in the order asked for.
func (s *Service) toSave(ctx context.Context, refs []string) ([]saved, error) {
	var out []saved
	add := func(ref string, target ocispec.Descriptor, name string) {
		n := slices.IndexFunc(out, func(o saved) bool { return o.target.Digest == target.Digest })
		if n < 0 {
			out = append(out, saved{ref: ref, target: target})
			n = len(out) - 1
		}
		if name != "" && !isDangling(name) && !slices.Contains(out[n].names, name) {
			out[n].names = append(out[n].names, name)
		}
	}
	for _, ref := range refs {
		tags, err := s.allTags(ctx, ref)
		if err != nil {
			return nil, err
		}
		for _, i := range tags {
			add(ref, i.Target, i.Name)
		}
		if len(tags) > 0 {
			continue
		}
		found, err := s.names.find(ctx, ref)
		if err != nil {
			return nil, err
		}
		add(ref, found.target, found.name)
	}
	return out, nil
}

// allTags lists the images of a repository that is given without a tag; none for any other reference.
func (s *Service) allTags(ctx context.Context, ref string) ([]images.Image, error) {
	repo, err := reference.ParseNormalizedNamed(ref)
	if err != nil || !reference.IsNameOnly(repo) {
		return nil, nil //nolint:nilerr // whatever it is, find will say so
	}
	all, err := s.names.all(ctx)
	return slices.DeleteFunc(all, func(i images.Image) bool {
		named, err := reference.ParseNormalizedNamed(i.Name)
		if err != nil || isDangling(i.Name) || named.Name() != repo.Name() {
			return true
		}
		_, tagged := named.(reference.Tagged)
		return !tagged
	}), err
}

// narrow replaces an index by its manifest if only one platform is wanted, and checks that all wanted ones are here.
func (s *Service) narrow(ctx context.Context, i saved, only []ocispec.Platform) (ocispec.Descriptor, error) {
	var last ocispec.Descriptor
	for _, p := range only {
		v, err := s.content.variant(ctx, i.target, &p, i.ref)
		if err != nil {
			return last, err
		}
		last = v.desc
	}
	if len(only) == 1 && images.IsIndexType(i.target.MediaType) {
		return last, nil
	}
	return i.target, nil
}

func (s *Service) saveOne(ctx context.Context, out *archive.Writer, i saved, only []ocispec.Platform) error {
	if err := s.saveTree(ctx, out, i.target, only, 0); err != nil {
		return err
	}
	if len(i.names) == 0 {
		out.Index(i.target)
	}
	var tags []string
	for _, n := range i.names {
		d := i.target
		d.Annotations = maps.Clone(d.Annotations)
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations[images.AnnotationImageName] = n
		named, err := reference.ParseNormalizedNamed(n)
		if err != nil {
			return err
		}
		if tagged, ok := named.(reference.Tagged); ok {
			d.Annotations[ocispec.AnnotationRefName] = tagged.Tag()
			tags = append(tags, reference.FamiliarString(named))
		}
		out.Index(d)
	}
	return s.saveEntry(ctx, out, i, only, tags)
}

// saveEntry lists an image in manifest.json, which knows one platform: that of this host, or the one asked for.
func (s *Service) saveEntry(ctx context.Context, out *archive.Writer, i saved, only []ocispec.Platform, tags []string) error {
	var platform *ocispec.Platform
	if len(only) > 0 {
		platform = &only[0]
	}
	v, err := s.content.variant(ctx, i.target, platform, i.ref)
	if errdefs.IsNotFound(err) {
		return nil // nothing that docker load of old could read
	}
	if err != nil {
		return err
	}
	e := archive.Entry{Config: archive.BlobPath(v.manifest.Config.Digest), RepoTags: tags}
	for _, l := range v.manifest.Layers {
		e.Layers = append(e.Layers, archive.BlobPath(l.Digest))
	}
	out.Entry(e)
	return nil
}

// saveTree writes a document and all below it that is here. An index may list
// more than the archive holds, as it does in the store.
func (s *Service) saveTree(ctx context.Context, out *archive.Writer, d ocispec.Descriptor, only []ocispec.Platform, depth int) error {
	var below []ocispec.Descriptor
	switch {
	case images.IsIndexType(d.MediaType) && depth < maxNesting:
		children, err := s.content.index(ctx, d)
		if err != nil {
			return s.absent(depth, err)
		}
		below = slices.DeleteFunc(slices.Clone(children), func(c ocispec.Descriptor) bool { return !wanted(c, only) })
	case images.IsManifestType(d.MediaType):
		var m ocispec.Manifest
		if err := s.content.json(ctx, d, &m); err != nil {
			return s.absent(depth, err)
		}
		below = append([]ocispec.Descriptor{m.Config}, m.Layers...)
		if depth > 0 && !s.complete(ctx, below) {
			return nil
		}
	}
	for _, c := range below {
		if err := s.saveTree(ctx, out, c, only, depth+1); err != nil {
			return err
		}
	}
	err := out.Blob(ctx, d, s.openBlob)
	if errdefs.IsNotFound(err) {
		return errdefs.ErrNotFound.WithMessage("content of the image is not here: " + d.Digest.String())
	}
	return err
}

// absent lets a child of an index be missing, but not what the user asked for.
func (s *Service) absent(depth int, err error) error {
	if depth > 0 && errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func (s *Service) complete(ctx context.Context, list []ocispec.Descriptor) bool {
	return !slices.ContainsFunc(list, func(d ocispec.Descriptor) bool { return !s.content.has(ctx, d.Digest) })
}

// wanted reports whether a child of an index is to be saved.
func wanted(d ocispec.Descriptor, only []ocispec.Platform) bool {
	return len(only) == 0 || d.Platform == nil || platforms.Any(only...).Match(normalPlatform(*d.Platform))
}
