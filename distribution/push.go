package distribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// PushOptions of POST /images/{name}/push.
type PushOptions struct {
	Platform    *ocispec.Platform // nil for the whole image
	Credentials Credentials
}

// Push sends an image to the registry of its name, or all tags of the repository if there is no tag. Blobs that the registry
// has are not sent. Errors: not found in dockerd's words, invalid argument, and what stopped it.
func (s *Service) Push(ctx context.Context, image, tag string, o PushOptions, p Progress) error {
	ref, err := parsePulled(image, tag)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	if _, ok := ref.(reference.Digested); ok {
		return errdefs.ErrInvalidArgument.WithMessage("cannot push a digest reference")
	}
	names := []string{ref.String()}
	if reference.IsNameOnly(ref) {
		if names, err = s.cfg.Images.Tags(ctx, ref.Name()); err != nil {
			return err
		}
		if len(names) == 0 {
			return errdefs.ErrNotFound.WithMessage("An image does not exist locally with the tag: " + reference.FamiliarName(ref))
		}
	} else if _, err := s.cfg.Images.Target(ctx, ref.String()); errdefs.IsNotFound(err) {
		return errdefs.ErrNotFound.WithMessage("tag does not exist: " + reference.FamiliarString(ref))
	}
	r, err := s.open(ctx, ref, o.Credentials)
	if err != nil {
		return err
	}
	p(jsonstream.Message{Status: "The push refers to repository [" + ref.Name() + "]"})
	for _, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return err
		}
		if err := s.pushOne(r.scope(ctx, "pull,push"), r, named, o, p); err != nil {
			return err
		}
		s.cfg.Images.Pushed(ctx, name)
	}
	return nil
}

// push is one tag under way.
type push struct {
	svc  *Service
	repo *repository
	to   *remote
	out  Progress
}

func (s *Service) pushOne(ctx context.Context, r *repository, ref reference.Named, o PushOptions, out Progress) error {
	able := r.able(docker.HostCapabilityPush)
	if len(able) == 0 {
		return fmt.Errorf("registry %s: its hosts.toml allows no host to be pushed to", r.domain)
	}
	opCtx, done, err := s.cfg.Store.Begin(ctx)
	if err != nil {
		return err
	}
	p := &push{svc: s, repo: r, to: able[len(able)-1], out: out}
	err = p.run(opCtx, ref, o)
	return errors.Join(err, done(context.WithoutCancel(ctx)))
}

func (p *push) run(ctx context.Context, ref reference.Named, o PushOptions) error {
	target, err := p.svc.cfg.Images.Target(ctx, ref.String())
	if err != nil {
		return err
	}
	root := target
	missing, err := p.missing(ctx, target, 0)
	if err != nil {
		return err
	}
	if o.Platform != nil || missing {
		if target, err = p.single(ctx, root, o.Platform); err != nil {
			return err
		}
	}
	if err := p.tree(ctx, target, 0, identifier(ref)); err != nil {
		return pushError(ref, err)
	}
	tag := identifier(ref)
	p.out(jsonstream.Message{Status: fmt.Sprintf("%s: digest: %s size: %d", tag, target.Digest, target.Size)})
	p.aux(map[string]any{"Tag": tag, "Digest": target.Digest.String(), "Size": target.Size})
	if missing && o.Platform == nil {
		p.aux(map[string]any{"manifestPushedInsteadOfIndex": true, "originalIndex": root, "selectedManifest": target})
	}
	return nil
}

func (p *push) aux(value any) {
	data, err := json.Marshal(value)
	if err != nil {
		return // maps of strings and numbers can be marshalled
	}
	raw := json.RawMessage(data)
	p.out(jsonstream.Message{Aux: &raw})
}

// read reads a document from the content store.
func (p *push) read(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > maxDocument {
		return nil, wrong("%s is larger than %d bytes", d.Digest, maxDocument)
	}
	d.Data = nil
	return content.ReadBlob(ctx, p.svc.cfg.Store.Content(), d)
}

// missing reports whether a part of an index is not here.
func (p *push) missing(ctx context.Context, d ocispec.Descriptor, depth int) (bool, error) {
	if _, err := p.svc.cfg.Store.Content().Info(ctx, d.Digest); errdefs.IsNotFound(err) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	children, err := p.children(ctx, d, depth)
	if err != nil {
		return false, err
	}
	for _, c := range children {
		if lacks, err := p.missing(ctx, c, depth+1); err != nil || lacks {
			return lacks, err
		}
	}
	return false, nil
}

// children are what a document names.
func (p *push) children(ctx context.Context, d ocispec.Descriptor, depth int) ([]ocispec.Descriptor, error) {
	if depth > maxNesting+1 {
		return nil, wrong("%s: indexes are nested deeper than %d", d.Digest, maxNesting)
	}
	switch {
	case images.IsIndexType(d.MediaType):
		data, err := p.read(ctx, d)
		if err != nil {
			return nil, err
		}
		i, err := parseIndex(data)
		return i.Manifests, err
	case images.IsManifestType(d.MediaType):
		data, err := p.read(ctx, d)
		if err != nil {
			return nil, err
		}
		m, err := parseManifest(data)
		return append([]ocispec.Descriptor{m.Config}, m.Layers...), err
	}
	return nil, nil
}

// single is the one manifest of an image that is pushed alone: that of the platform, or the only one that is complete here.
func (p *push) single(ctx context.Context, d ocispec.Descriptor, platform *ocispec.Platform) (ocispec.Descriptor, error) {
	if !images.IsIndexType(d.MediaType) {
		return d, nil
	}
	list, err := p.children(ctx, d, 0)
	if err != nil {
		return d, err
	}
	var complete []ocispec.Descriptor
	for _, c := range list {
		if c.Annotations[annotationKind] != "" || !images.IsManifestType(c.MediaType) {
			continue
		}
		if lacks, err := p.missing(ctx, c, 1); err != nil {
			return d, err
		} else if !lacks {
			complete = append(complete, c)
		}
	}
	found, err := pick(complete, platform)
	if err != nil && platform == nil && len(complete) == 1 {
		found, err = complete[0], nil
	}
	if err != nil {
		what := "any platform"
		if platform != nil {
			what = platforms.FormatAll(platforms.Normalize(*platform))
		}
		return d, errdefs.ErrNotFound.WithMessage("image is not complete here for " + what + ": pull it with --platform first")
	}
	return found, nil
}

// tree sends a document after what it names. tag is "" for one that others name.
func (p *push) tree(ctx context.Context, d ocispec.Descriptor, depth int, tag string) error {
	children, err := p.children(ctx, d, depth)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for n, c := range children {
		if images.IsIndexType(d.MediaType) {
			if err := p.tree(ctx, c, depth+1, ""); err != nil {
				return err
			}
			continue
		}
		l := newLine(p.out, c.Digest)
		if n == 0 {
			l = newLine(func(jsonstream.Message) {}, c.Digest) // the config has no line
		}
		l.say("Preparing")
		group.Go(func() error { return p.blob(groupCtx, c, l) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	data, err := p.read(ctx, d)
	if err != nil {
		return err
	}
	return p.document(ctx, d, data, tag)
}

// document sends a manifest or index, byte for byte.
func (p *push) document(ctx context.Context, d ocispec.Descriptor, data []byte, tag string) error {
	if tag == "" {
		tag = d.Digest.String()
	}
	resp, err := p.to.do(ctx, call{
		method: http.MethodPut, url: p.to.url("manifests", tag), header: http.Header{"Content-Type": {d.MediaType}},
		size: int64(len(data)), body: body(data),
	})
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return refused(resp)
	}
	defer resp.Body.Close()
	if said, err := digest.Parse(resp.Header.Get("Docker-Content-Digest")); err == nil && said.Algorithm() == d.Digest.Algorithm() && said != d.Digest {
		return wrong("the registry stored %s as %s", d.Digest, said)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody))
	return err
}

// pushError puts a refusal in dockerd's words.
func pushError(ref reference.Named, err error) error {
	var r *refusal
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization):
	case errors.As(err, &r) && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden):
		if r.status == http.StatusUnauthorized {
			return errdefs.ErrUnauthenticated.WithMessage("unauthorized: " + orElse(r.message, "authentication required"))
		}
		return errdefs.ErrPermissionDenied.WithMessage("denied: " + orElse(r.message, "requested access to the resource is denied"))
	default:
		return err
	}
	return errdefs.ErrPermissionDenied.WithMessage("push access denied for " + reference.FamiliarName(ref) +
		", repository does not exist or may require authorization: authentication required")
}

func orElse(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}
