package distribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of documents, in bytes, of what they list, and of the time that one may take.
const (
	maxDocument = 8 << 20
	maxChildren = 2000
	maxNesting  = 4
	documentAge = 90 * time.Second
)

// accepted are the formats of manifests that are understood.
var accepted = strings.Join([]string{
	ocispec.MediaTypeImageIndex, images.MediaTypeDockerSchema2ManifestList,
	ocispec.MediaTypeImageManifest, images.MediaTypeDockerSchema2Manifest, "*/*",
}, ", ")

// document is a manifest or an index as the registry serves it, verified.
type document struct {
	desc ocispec.Descriptor
	data []byte
	from *remote
}

// manifest fetches a manifest by tag or digest, from the first remote that has it. Errors: those of all remotes.
func (r *repository) manifest(ctx context.Context, ref string) (*document, error) {
	var failures tried
	for _, m := range r.able(docker.HostCapabilityPull | docker.HostCapabilityResolve) {
		doc, err := m.getManifest(ctx, ref)
		if err == nil {
			return doc, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failures.add(m, err)
	}
	return nil, failures.error(func(err error) error { return err })
}

// getManifest asks up to three times where that may help.
func (m *remote) getManifest(ctx context.Context, ref string) (doc *document, err error) {
	for n := 0; n < 3; n++ {
		doc, err = m.getManifestOnce(ctx, ref)
		if err == nil || !temporary(err) || ctx.Err() != nil || isDial(err) {
			return doc, err
		}
	}
	return nil, err
}

func (m *remote) getManifestOnce(ctx context.Context, ref string) (*document, error) {
	ctx, cancel := context.WithTimeout(ctx, documentAge)
	defer cancel()
	resp, err := m.do(ctx, call{method: http.MethodGet, url: m.url("manifests", ref), header: http.Header{"Accept": {accepted}}})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDocument {
		return nil, wrong("manifest %s is larger than %d bytes", ref, maxDocument)
	}
	d := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	for _, want := range []string{ref, resp.Header.Get("Docker-Content-Digest")} {
		if wanted, err := digest.Parse(want); err == nil {
			if wanted.Algorithm().FromBytes(data) != wanted {
				return nil, wrong("manifest verification failed for digest %s", wanted)
			}
			d.Digest = wanted
			break
		}
	}
	if d.MediaType, err = mediaType(resp.Header.Get("Content-Type"), data); err != nil {
		return nil, err
	}
	return &document{d, data, m}, nil
}

// shape has the fields by which a document tells what it is.
type shape struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Manifests     json.RawMessage `json:"manifests"`
	Config        json.RawMessage `json:"config"`
	Layers        json.RawMessage `json:"layers"`
}

// mediaType is what the document says that it is, and what its server says; they must not be two things, nor the
// document both an index and a manifest.
func mediaType(header string, data []byte) (string, error) {
	var s shape
	if err := json.Unmarshal(data, &s); err != nil {
		return "", wrong("invalid manifest: %v", err)
	}
	if s.Manifests != nil && (s.Config != nil || s.Layers != nil) {
		return "", wrong("invalid manifest: it is an index and a manifest at once")
	}
	served, _, err := mime.ParseMediaType(header)
	if err != nil || !images.IsIndexType(served) && !images.IsManifestType(served) {
		served = ""
	}
	kind := s.MediaType
	if kind == "" {
		kind = served
	}
	switch {
	case s.SchemaVersion == 1:
		return "", wrong("schema 1 manifests are not supported: the image has to be pushed again by a newer client")
	case kind == "" && s.Manifests != nil:
		kind = ocispec.MediaTypeImageIndex
	case kind == "" && s.Config != nil:
		kind = ocispec.MediaTypeImageManifest
	}
	if served != "" && kind != served {
		return "", wrong("invalid manifest: it is a %q, and served as a %q", printable(kind), served)
	}
	if images.IsIndexType(kind) && s.Manifests == nil || images.IsManifestType(kind) && s.Config == nil || !images.IsIndexType(kind) && !images.IsManifestType(kind) {
		return "", wrong("unsupported manifest media type %q", printable(kind))
	}
	return kind, nil
}

// small fetches a blob that is a document, whole and verified.
func (r *repository) small(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if err := checkDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > maxDocument {
		return nil, wrong("%s is larger than %d bytes", d.Digest, maxDocument)
	}
	if data, err := r.svc.local(ctx, d); err == nil {
		return data, nil
	}
	var failures tried
	for _, m := range r.able(docker.HostCapabilityPull) {
		var data []byte
		var err error
		for n := 0; n < 3; n++ {
			if data, err = m.getSmall(ctx, d); err == nil {
				return data, nil
			}
			if !temporary(err) || ctx.Err() != nil || isDial(err) {
				break
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failures.add(m, err)
	}
	return nil, failures.error(func(err error) error { return err })
}

// local reads a document that is here already: it was verified when it came.
func (s *Service) local(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	d.Data = nil // what a descriptor embeds is not verified
	data, err := content.ReadBlob(s.cfg.Store.Context(ctx), s.cfg.Store.Content(), d)
	if err != nil {
		return nil, err
	}
	return data, verify(d, data)
}

func (m *remote) getSmall(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, documentAge)
	defer cancel()
	resp, err := m.do(ctx, call{method: http.MethodGet, url: m.url("blobs", d.Digest.String())})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, d.Size+1))
	if err != nil {
		return nil, err
	}
	return data, verify(d, data)
}

// verify holds bytes against their descriptor.
func verify(d ocispec.Descriptor, data []byte) error {
	if int64(len(data)) != d.Size {
		return wrong("%s has %d bytes, not %d", d.Digest, len(data), d.Size)
	}
	if d.Digest.Algorithm().FromBytes(data) != d.Digest {
		return wrong("verification failed for digest %s", d.Digest)
	}
	return nil
}

// checkDescriptor refuses digests that nothing can be verified with, and impossible sizes.
func checkDescriptor(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return wrong("digest %q: %v", printable(string(d.Digest)), err)
	}
	if d.Size < 0 {
		return wrong("%s: size %d", d.Digest, d.Size)
	}
	return nil
}

// parseIndex reads an index. Errors: data loss.
func parseIndex(data []byte) (ocispec.Index, error) {
	var i ocispec.Index
	if err := json.Unmarshal(data, &i); err != nil {
		return i, wrong("invalid index: %v", err)
	}
	if len(i.Manifests) > maxChildren {
		return i, wrong("index lists %d manifests, more than %d", len(i.Manifests), maxChildren)
	}
	for _, d := range i.Manifests {
		if err := checkDescriptor(d); err != nil {
			return i, err
		}
	}
	return i, nil
}

// parseManifest reads a manifest. Errors: data loss.
func parseManifest(data []byte) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, wrong("invalid manifest: %v", err)
	}
	if len(m.Layers) > maxChildren {
		return m, wrong("manifest lists %d layers, more than %d", len(m.Layers), maxChildren)
	}
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := checkDescriptor(d); err != nil {
			return m, err
		}
	}
	return m, nil
}

// isDial reports whether a host could not even be reached, which does not get better by the next moment.
func isDial(err error) bool {
	var op interface{ Timeout() bool }
	return errors.As(err, &op) && strings.Contains(fmt.Sprint(err), "dial ")
}
