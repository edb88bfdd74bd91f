package image

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gantry/internal/fault"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	api "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// RemoveOptions of DELETE /images/{name}.
type RemoveOptions struct {
	Force, NoPrune bool
	Platforms      []ocispec.Platform
}

// Remove takes a name from an image, and the image away if that was its last; an ID takes all
// names. What only this image needed is deleted in the background. Errors: those
// of Resolve; conflict, in dockerd's words.
func (s *Service) Remove(ctx context.Context, ref string, o RemoveOptions) ([]api.DeleteResponse, error) {
	defer s.observe("delete", time.Now())
	ctx = s.store.Context(ctx)
	found, err := s.names.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(o.Platforms) > 0 {
		return s.removePlatforms(ctx, found, ref, o)
	}
	names, err := s.names.withTarget(ctx, found.target.Digest)
	if err != nil {
		return nil, err
	}
	e := &entry{target: found.target, names: names}
	s.shelf.fill(ctx, e)
	if found.id || isDangling(found.name) {
		return s.removeID(ctx, e, o)
	}
	return s.removeName(ctx, e, found, o)
}

// removeName takes one name. Without force, an image that is in use keeps its last one.
func (s *Service) removeName(ctx context.Context, e *entry, found match, o RemoveOptions) ([]api.DeleteResponse, error) {
	left := len(e.names) - 1
	if left > 0 {
		return s.untag(ctx, e, []string{found.name}, false)
	}
	holders := s.holds.of(e.target.Digest.String())
	if len(holders) == 0 {
		return s.untag(ctx, e, []string{found.name}, false)
	}
	if !o.Force {
		return nil, conflict(found.familiar, false, fmt.Sprintf("container %s is using its referenced image %s",
			short(holders[0].ID), short(e.target.Digest.Encoded())))
	}
	// The container's image stays, without a name.
	return s.untag(ctx, e, []string{found.name}, true)
}

// removeID takes an image with all of its names.
func (s *Service) removeID(ctx context.Context, e *entry, o RemoveOptions) ([]api.DeleteResponse, error) {
	id := short(e.target.Digest.Encoded())
	if !o.Force && len(repositories(e.names)) > 1 {
		return nil, conflict(id, false, "image is referenced in multiple repositories")
	}
	for _, h := range s.holds.of(e.target.Digest.String()) {
		if h.Running() {
			return nil, conflict(id, true, "image is being used by running container "+short(h.ID))
		}
		if !o.Force {
			return nil, conflict(id, false, "image is being used by stopped container "+short(h.ID))
		}
	}
	var names []string
	for _, i := range e.names {
		names = append(names, i.Name)
	}
	return s.untag(ctx, e, names, false)
}

// repositories lists in how many repositories an image has names: users rely on one ID not
// taking the names of several away.
func repositories(names []images.Image) map[string]bool {
	out := map[string]bool{}
	for _, i := range names {
		if named, err := reference.ParseNormalizedNamed(i.Name); err == nil && !isDangling(i.Name) {
			out[named.Name()] = true
		}
	}
	return out
}

// untag deletes names in one transaction; keep leaves the image dangling if they were all.
func (s *Service) untag(ctx context.Context, e *entry, names []string, keep bool) ([]api.DeleteResponse, error) {
	gone := len(names) == len(e.names) && !keep
	err := s.store.Transact(ctx, func(ctx context.Context) error {
		for _, i := range e.names {
			if keep && len(names) == len(e.names) {
				if err := s.names.keepDangling(ctx, i); err != nil {
					return err
				}
			}
		}
		for _, n := range names {
			if err := s.store.Images().Delete(ctx, n); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	fault.Point("image.remove.committed")
	id := e.target.Digest.String()
	var out []api.DeleteResponse
	for _, n := range names {
		if isDangling(n) {
			continue
		}
		out = append(out, api.DeleteResponse{Untagged: familiar(n)})
		s.journal.image(events.ActionUnTag, id, familiar(n), e.labels())
	}
	if gone {
		out = append(out, api.DeleteResponse{Deleted: id})
		s.content.forget(e.members)
		s.journal.image(events.ActionDelete, id, id, e.labels())
		s.store.CollectSoon()
	}
	return out, nil
}

// removePlatforms deletes the manifests of some platforms from an index; the index stays.
func (s *Service) removePlatforms(ctx context.Context, found match, ref string, o RemoveOptions) ([]api.DeleteResponse, error) {
	if !images.IsIndexType(found.target.MediaType) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("cannot remove a platform of " + ref + ": it is an image of one platform")
	}
	list, err := s.content.members(ctx, found.target)
	if err != nil {
		return nil, err
	}
	holders := s.holds.of(found.target.Digest.String())
	var out []api.DeleteResponse
	for _, p := range o.Platforms {
		v, err := s.content.variant(ctx, found.target, &p, ref)
		if err != nil {
			return nil, err
		}
		if len(holders) > 0 && !o.Force {
			return nil, conflict(ref, false, fmt.Sprintf("container %s is using its referenced image %s",
				short(holders[0].ID), short(found.target.Digest.Encoded())))
		}
		if err := s.dropManifest(ctx, v); err != nil {
			return nil, err
		}
		out = append(out, api.DeleteResponse{Deleted: v.desc.Digest.String()})
	}
	s.content.forget(list)
	s.store.CollectSoon()
	return out, nil
}

// dropManifest deletes a manifest blob: what only it refers to is collected.
func (s *Service) dropManifest(ctx context.Context, v *variant) error {
	err := s.store.Content().Delete(ctx, v.desc.Digest)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// conflict is why an image cannot be removed. hard: not with force either.
func conflict(ref string, hard bool, why string) error {
	how := "must be forced"
	if hard {
		how = "cannot be forced"
	}
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("conflict: unable to delete %s (%s) - %s", ref, how, why))
}

// short is an ID as users see it.
func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}
