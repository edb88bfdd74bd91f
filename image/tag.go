package image

import (
	"context"

	"gantry/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
)

// Tag gives an image a further name, taking it from the image that has it. Errors: those of
// Resolve, invalid argument.
func (s *Service) Tag(ctx context.Context, ref, repo, tag string) error {
	ctx = s.store.Context(ctx)
	name, err := newName(repo, tag)
	if err != nil {
		return err
	}
	found, err := s.names.find(ctx, ref)
	if err != nil {
		return err
	}
	err = s.store.Transact(ctx, func(ctx context.Context) error {
		_, err := s.names.put(ctx, name.String(), found.target, nil)
		return err
	})
	if err != nil {
		return err
	}
	fault.Point("image.tag.committed")
	s.journal.image(events.ActionTag, found.target.Digest.String(), reference.FamiliarString(name), nil)
	return nil
}

// newName checks the name of a new image, which must not be an ID or a digest. Errors: invalid argument, in dockerd's words.
func newName(repo, tag string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(repo)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, errdefs.ErrInvalidArgument.WithMessage("cannot use digest reference")
	}
	if tag == "" {
		return reference.TagNameOnly(named), nil
	}
	tagged, err := reference.WithTag(reference.TrimNamed(named), tag)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return tagged, nil
}

// optionalName is newName for images that need not have one: "" for repo.
func optionalName(repo, tag string) (string, error) {
	if repo == "" {
		return "", nil
	}
	name, err := newName(repo, tag)
	if err != nil {
		return "", err
	}
	return name.String(), nil
}
