package image

import (
	"context"

	"gantry/storage"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// parts are the blobs and chains that an image takes disk space with, each once.
type parts struct {
	blobs  map[digest.Digest]int64
	chains map[string]int64 // chain ID to the bytes of its top layer
}

func newParts() *parts { return &parts{blobs: map[digest.Digest]int64{}, chains: map[string]int64{}} }

// content is the bytes of blobs, unpacked those of layers.
func (p *parts) content() (n int64) {
	for _, size := range p.blobs {
		n += size
	}
	return n
}

func (p *parts) unpacked() (n int64) {
	for _, size := range p.chains {
		n += size
	}
	return n
}

func (p *parts) total() int64 { return p.content() + p.unpacked() }

func (p *parts) add(other *parts) {
	for k, v := range other.blobs {
		p.blobs[k] = v
	}
	for k, v := range other.chains {
		p.chains[k] = v
	}
}

// partsOf returns what of an image is here.
func (s *shelf) partsOf(ctx context.Context, target ocispec.Descriptor, list []member) (*parts, error) {
	all := newParts()
	if err := s.addBlob(ctx, all, target.Digest); err != nil {
		return nil, err
	}
	for _, m := range list {
		p, err := s.memberParts(ctx, m)
		if err != nil {
			return nil, err
		}
		all.add(p)
	}
	return all, nil
}

// memberParts returns what of one manifest is here. That of a complete image is remembered: it does not change.
func (s *shelf) memberParts(ctx context.Context, m member) (*parts, error) {
	if p := s.content.rememberedParts(m.desc.Digest); p != nil {
		return p, nil
	}
	p := newParts()
	if err := s.addBlob(ctx, p, m.desc.Digest); err != nil || m.variant == nil {
		return p, err
	}
	v := m.variant
	seen := map[digest.Digest]bool{}
	for _, d := range append([]ocispec.Descriptor{v.manifest.Config}, v.manifest.Layers...) {
		if err := s.addBlob(ctx, p, d.Digest); err != nil {
			return nil, err
		}
		seen[d.Digest] = true
	}
	for _, c := range v.chains {
		n, err := s.store.LayerUsage(ctx, c)
		if errdefs.IsNotFound(err) {
			return p, nil // not unpacked
		}
		if err != nil {
			return nil, err
		}
		p.chains[string(c)] = n
	}
	if len(p.blobs) == 1+len(seen) { // and the manifest
		s.content.rememberParts(m.desc.Digest, p)
	}
	return p, nil
}

func (s *shelf) addBlob(ctx context.Context, p *parts, d digest.Digest) error {
	info, err := s.store.Content().Info(ctx, d)
	if err == nil {
		p.blobs[d] = info.Size
		if info.Labels[storage.RebuiltLabel] != "" {
			p.blobs[d] = 0 // it is here, and takes no space of its own
		}
	}
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func (r *reader) rememberedParts(d digest.Digest) *parts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.parts[d]
}

func (r *reader) rememberParts(d digest.Digest, p *parts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.parts) >= maxCached {
		clear(r.parts)
	}
	r.parts[d] = p
}

// forget drops what is remembered of manifests that may be collected.
func (r *reader) forget(list []member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range list {
		delete(r.parts, m.desc.Digest)
		delete(r.variants, m.desc.Digest)
	}
}
