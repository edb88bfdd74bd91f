package image

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// annotationPredicate names a statement's kind: BuildKit's annotation of the layers of an attestation manifest.
const annotationPredicate = "in-toto.io/predicate-type"

// mediaInToto is the type of a layer that is a statement, https://github.com/in-toto/attestation.
const mediaInToto = "application/vnd.in-toto+json"

// AttestationOptions choose statements.
type AttestationOptions struct {
	Platform   *ocispec.Platform // nil for this host's
	Predicates []string          // types that are wanted; none for all
	Statements bool              // read their text too
}

// Attestations lists the in-toto statements that the image's index attaches to the manifest of a platform. Statements whose
// manifest is not here are left out. Errors: those of Resolve.
func (s *Service) Attestations(ctx context.Context, ref string, o AttestationOptions) ([]api.AttestationStatement, error) {
	ctx = s.store.Context(ctx)
	found, err := s.names.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	subject, err := s.content.variant(ctx, found.target, o.Platform, ref)
	if err != nil {
		return nil, err
	}
	list, err := s.content.members(ctx, found.target)
	if err != nil {
		return nil, err
	}
	out := []api.AttestationStatement{}
	for _, m := range list {
		if m.kind != kindAttestation || m.desc.Annotations[annotationSubject] != subject.desc.Digest.String() {
			continue
		}
		statements, err := s.content.statements(ctx, m.desc, o)
		if err != nil {
			return nil, err
		}
		out = append(out, statements...)
	}
	return out, nil
}

// statements are the layers of one attestation manifest.
func (r *reader) statements(ctx context.Context, d ocispec.Descriptor, o AttestationOptions) ([]api.AttestationStatement, error) {
	var m ocispec.Manifest
	if err := r.json(ctx, d, &m); err != nil {
		if errdefs.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	var out []api.AttestationStatement
	for _, layer := range m.Layers {
		predicate := layer.Annotations[annotationPredicate]
		if layer.MediaType != mediaInToto || len(o.Predicates) > 0 && !slices.Contains(o.Predicates, predicate) {
			continue
		}
		statement := api.AttestationStatement{Descriptor: layer, PredicateType: predicate}
		if o.Statements {
			var text json.RawMessage
			if err := r.json(ctx, layer, &text); err != nil {
				return nil, err
			}
			statement.Statement = &text
		}
		out = append(out, statement)
	}
	return out, nil
}
