package image

import (
	"context"

	"gantry/storage"

	"github.com/distribution/reference"
	api "github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Moves is the image store as those see it who move images between here and registries. Names are complete:
// "docker.io/library/busybox:latest".
type Moves struct{ *Service }

// Target is what a complete name, "docker.io/library/busybox:latest", points to. Errors: not found.
func (m Moves) Target(ctx context.Context, name string) (ocispec.Descriptor, error) {
	i, err := m.store.Images().Get(m.store.Context(ctx), name)
	return i.Target, err
}

// Tags lists the complete names with a tag that a repository has here, in their order.
func (m Moves) Tags(ctx context.Context, repository string) ([]string, error) {
	all, err := m.names.all(m.store.Context(ctx))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range all {
		named, err := reference.ParseNormalizedNamed(i.Name)
		if err != nil || isDangling(i.Name) || named.Name() != repository {
			continue
		}
		if _, ok := named.(reference.Tagged); ok {
			out = append(out, i.Name)
		}
	}
	return out, nil
}

// Pulled makes a name point to an image that the operation of ctx has stored, with the given chain unpacked. An
// image that loses its last name by that becomes dangling.
func (m Moves) Pulled(ctx context.Context, name string, target ocispec.Descriptor, chain digest.Digest) error {
	if err := m.vault.name(ctx, target, name); err != nil {
		return err
	}
	if chain != "" {
		if err := m.store.MakeReady(ctx, storage.ChainID(chain)); err != nil {
			return err
		}
	}
	m.moved(api.ActionPull, name)
	return nil
}

// Pushed tells subscribers that a registry has the image of that name now.
func (m Moves) Pushed(_ context.Context, name string) { m.moved(api.ActionPush, name) }

// moved publishes an event as dockerd does: the actor is the reference, its name the repository.
func (m Moves) moved(action api.Action, name string) {
	repository := name
	if named, err := reference.ParseNormalizedNamed(name); err == nil {
		repository = reference.FamiliarName(named)
	}
	m.journal.image(action, familiar(name), repository, nil)
}
