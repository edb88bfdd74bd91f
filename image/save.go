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
		save := &saver{vault: s.vault, only: only}
		list, err := save.toSave(ctx, refs)
		if err != nil {
			return err
		}
		for n := range list {
			if list[n].target, err = save.narrow(ctx, list[n]); err != nil {
				return err
			}
		}
		if save.out, err = archive.NewWriter(w); err != nil {
			return err
		}
		for _, i := range list {
			if err := save.one(ctx, i); err != nil {
				return err
			}
			s.journal.image(events.ActionSave, i.target.Digest.String(), i.ref, nil)
		}
		return save.out.Close()
	})
}

// saver writes one archive.
type saver struct {
	*vault
	out  *archive.Writer
	only []ocispec.Platform // wanted; none for all
}

// toSave finds the images, each once, with their names in the order asked for.
func (s *saver) toSave(ctx context.Context, refs []string) ([]saved, error) {
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
func (s *saver) allTags(ctx context.Context, ref string) ([]images.Image, error) {
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
func (s *saver) narrow(ctx context.Context, i saved) (ocispec.Descriptor, error) {
	var last ocispec.Descriptor
	for _, p := range s.only {
		v, err := s.content.variant(ctx, i.target, &p, i.ref)
		if err != nil {
			return last, err
		}
		last = v.desc
	}
	if len(s.only) == 1 && images.IsIndexType(i.target.MediaType) {
		return last, nil
	}
	return i.target, nil
}

func (s *saver) one(ctx context.Context, i saved) error {
	if err := s.tree(ctx, i.target, 0); err != nil {
		return err
	}
	if len(i.names) == 0 {
		s.out.Index(i.target)
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
		s.out.Index(d)
	}
	return s.entry(ctx, i, tags)
}

// entry lists an image in manifest.json, which knows one platform: that of this host, or the one asked for.
func (s *saver) entry(ctx context.Context, i saved, tags []string) error {
	var platform *ocispec.Platform
	if len(s.only) > 0 {
		platform = &s.only[0]
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
	s.out.Entry(e)
	return nil
}

// tree writes a document and all below it that is here. An index may list
// more than the archive holds, as it does in the store.
func (s *saver) tree(ctx context.Context, d ocispec.Descriptor, depth int) error {
	var below []ocispec.Descriptor
	switch {
	case images.IsIndexType(d.MediaType) && depth < maxNesting:
		children, err := s.content.index(ctx, d)
		if err != nil {
			return absent(depth, err)
		}
		below = slices.DeleteFunc(slices.Clone(children), func(c ocispec.Descriptor) bool { return !wanted(c, s.only) })
	case images.IsManifestType(d.MediaType):
		var m ocispec.Manifest
		if err := s.content.json(ctx, d, &m); err != nil {
			return absent(depth, err)
		}
		below = append([]ocispec.Descriptor{m.Config}, m.Layers...)
		if depth > 0 && !s.content.complete(ctx, below) {
			return nil
		}
	}
	for _, c := range below {
		if err := s.tree(ctx, c, depth+1); err != nil {
			return err
		}
	}
	err := s.out.Blob(ctx, d, s.openBlob)
	if errdefs.IsNotFound(err) {
		return errdefs.ErrNotFound.WithMessage("content of the image is not here: " + d.Digest.String())
	}
	return err
}

// absent lets a child of an index be missing, but not what the user asked for.
func absent(depth int, err error) error {
	if depth > 0 && errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// wanted reports whether a child of an index is to be saved.
func wanted(d ocispec.Descriptor, only []ocispec.Platform) bool {
	return len(only) == 0 || d.Platform == nil || platforms.Any(only...).Match(normalPlatform(*d.Platform))
}
