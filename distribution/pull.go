package distribution

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"gantry/internal/fault"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// PullOptions of POST /images/create?fromImage=.
type PullOptions struct {
	Platform    *ocispec.Platform // nil for the one that fits this host
	Credentials Credentials
}

// Pull brings an image here: image with its tag or digest, or with that of tag, or all tags of the repository if neither
// has one. Errors: invalid argument (name), not found in dockerd's words, and what stopped it.
func (s *Service) Pull(ctx context.Context, image, tag string, o PullOptions, p Progress) error {
	ref, err := parsePulled(image, tag)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	r, err := s.open(ctx, ref, o.Credentials)
	if err != nil {
		return err
	}
	ctx = r.scope(ctx, "pull")
	if !reference.IsNameOnly(ref) {
		return s.pullOne(ctx, r, ref, o, p)
	}
	tags, err := r.tags(ctx)
	if err != nil {
		return pullError(ref, err)
	}
	for _, t := range tags {
		tagged, err := reference.WithTag(ref, t)
		if err != nil {
			return wrong("repository %s lists the tag %q", reference.FamiliarName(ref), printable(t))
		}
		if err := s.pullOne(ctx, r, tagged, o, p); err != nil {
			return err
		}
	}
	return nil
}

// parsePulled puts name and tag together. A digest decides against a tag.
func parsePulled(image, tag string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, err
	}
	if d, ok := named.(reference.Digested); ok {
		return reference.WithDigest(reference.TrimNamed(named), d.Digest())
	}
	if tag == "" {
		return named, nil
	}
	if d, err := digest.Parse(tag); err == nil {
		return reference.WithDigest(reference.TrimNamed(named), d)
	}
	return reference.WithTag(reference.TrimNamed(named), tag)
}

// pull is one reference under way.
type pull struct {
	svc  *Service
	repo *repository
	ref  reference.Named
	o    PullOptions
	to   Progress
	new  atomic.Bool // something was fetched
}

func (s *Service) pullOne(ctx context.Context, r *repository, ref reference.Named, o PullOptions, to Progress) error {
	opCtx, done, err := s.cfg.Store.Begin(ctx)
	if err != nil {
		return err
	}
	p := &pull{svc: s, repo: r, ref: ref, o: o, to: to}
	return errors.Join(p.run(opCtx), done(context.WithoutCancel(ctx)))
}

func (p *pull) run(ctx context.Context) error {
	before, err := p.svc.cfg.Images.Target(ctx, p.ref.String())
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	target, err := p.repo.manifest(ctx, identifier(p.ref))
	if err != nil {
		return pullError(p.ref, err)
	}
	p.to(jsonstream.Message{ID: identifier(p.ref), Status: "Pulling from " + p.repo.path})
	c, err := p.repo.choose(ctx, target, p.o.Platform)
	if err != nil {
		return err
	}
	chain, err := p.layers(ctx, c)
	if err != nil {
		return err
	}
	if err := p.store(ctx, c); err != nil {
		return err
	}
	fault.Point("distribution.pull.stored")
	if err := p.svc.cfg.Images.Pulled(ctx, p.ref.String(), target.desc, chain); err != nil {
		return err
	}
	p.to(jsonstream.Message{Status: "Digest: " + target.desc.Digest.String()})
	status := "Downloaded newer image for "
	if before.Digest == target.desc.Digest && !p.new.Load() {
		status = "Image is up to date for "
	}
	p.to(jsonstream.Message{Status: "Status: " + status + reference.FamiliarString(p.ref)})
	return nil
}

// identifier is the tag or digest of a reference.
func identifier(ref reference.Named) string {
	if d, ok := ref.(reference.Digested); ok {
		return d.Digest().String()
	}
	if t, ok := ref.(reference.Tagged); ok {
		return t.Tag()
	}
	return ""
}

// layers fetches and unpacks what is missing, all layers at the same time, and returns the chain.
func (p *pull) layers(ctx context.Context, c *chosen) (digest.Digest, error) {
	group, ctx := errgroup.WithContext(ctx)
	first := make(chan digest.Digest, 1)
	first <- ""
	parent := (<-chan digest.Digest)(first)
	for n, desc := range c.manifest.Layers {
		done := make(chan digest.Digest, 1)
		j := &layerJob{
			pull: p, blob: blob{desc, c.diffIDs[n]}, line: newLine(p.to, desc.Digest),
			chain: identity.ChainID(c.diffIDs[:n+1]), below: parent, done: done,
		}
		j.line.say("Pulling fs layer")
		parent = done
		group.Go(func() error { return j.run(ctx) })
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	return <-parent, nil
}

// store writes the documents, the target last, and the attestations of the chosen manifest.
func (p *pull) store(ctx context.Context, c *chosen) error {
	if err := p.svc.put(ctx, c.manifest.Config, c.config); err != nil {
		return err
	}
	for _, a := range c.attestations {
		if err := p.attestation(ctx, a); err != nil {
			return fmt.Errorf("attestation %s: %w", a.Digest, err)
		}
	}
	for n := len(c.documents) - 1; n >= 0; n-- {
		if err := p.svc.put(ctx, c.documents[n].desc, c.documents[n].data); err != nil {
			return err
		}
	}
	return nil
}

// attestation stores a manifest and what it names; nothing of it is unpacked.
func (p *pull) attestation(ctx context.Context, d ocispec.Descriptor) error {
	doc, err := p.repo.child(ctx, d)
	if err != nil {
		return err
	}
	m, err := parseManifest(doc.data)
	if err != nil {
		return err
	}
	for _, b := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if here, err := p.svc.has(ctx, b); err != nil || here {
			if err != nil {
				return err
			}
			continue
		}
		if err := p.svc.transfers.fetch(ctx, p.repo, blob{desc: b}, newLine(func(jsonstream.Message) {}, b.Digest)); err != nil {
			return err
		}
	}
	return p.svc.put(ctx, doc.desc, doc.data)
}

// put stores a document that was verified.
func (s *Service) put(ctx context.Context, d ocispec.Descriptor, data []byte) error {
	return content.WriteBlob(ctx, s.cfg.Store.Content(), "document-"+d.Digest.String(), bytes.NewReader(data), d)
}

func (p *pull) fetched() { p.new.Store(true) }
