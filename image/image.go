// Package image holds images as the user knows them: names, indexes, manifests and configs.
//
// A name ("docker.io/library/busybox:latest") points to a target: the descriptor of
// an index or of a manifest. The target's digest is the image's ID. An index lists
// manifests, one for each platform, and what is attached to them; a manifest names a
// config and layers. An image that has lost its last name but is kept, because a
// container uses it or nobody removed it, is dangling: its name then is "moby-dangling@" and its ID.
//
// Who uses an image holds it; removal asks the holders that are known here and nobody else.
package image

import (
	"context"
	"time"

	"gantry/events"
	"gantry/storage"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Config names what the room stands on.
type Config struct {
	Storage *storage.Service
	Events  *events.Journal
	// Observe is told how long an action took, in dockerd's words: load, delete. May be nil.
	Observe func(action string, took time.Duration)
}

// Service is the image store. Safe for concurrent use.
type Service struct {
	store   *storage.Service
	names   *catalog
	content *reader
	vault   *vault
	shelf   *shelf
	holds   *holds
	observe func(action string, began time.Time) // for defer s.observe("load", time.Now())
	journal journal
}

// Open opens the image store.
func Open(_ context.Context, cfg Config) (*Service, error) {
	content, held := newReader(cfg.Storage), newHolds()
	names := &catalog{store: cfg.Storage, content: content}
	return &Service{
		store:   cfg.Storage,
		names:   names,
		content: content,
		vault:   &vault{store: cfg.Storage, names: names, content: content},
		shelf:   &shelf{store: cfg.Storage, names: names, content: content, holds: held},
		holds:   held,
		journal: journal{cfg.Events},
		observe: observer(cfg.Observe),
	}, nil
}

func observer(tell func(action string, took time.Duration)) func(action string, began time.Time) {
	if tell == nil {
		return func(string, time.Time) {}
	}
	return func(action string, began time.Time) { tell(action, time.Since(began)) }
}

// Close closes nothing: the stores belong to storage.
func (s *Service) Close(context.Context) error { return nil }

// Image is one image for one platform.
type Image struct {
	ID       string // digest of the target: index or manifest, as Docker 29 with the containerd store shows it
	Manifest ocispec.Descriptor
	Name     string // the reference that it was found by, familiar form; "" for an ID
	Config   dockerspec.DockerOCIImage
	Platform ocispec.Platform
	Chain    storage.ChainID
}

// Resolve finds what the user typed: name, name:tag, name@digest, ID or ID prefix. Without a platform it is
// the one that fits this host best. Errors: not found, with dockerd's "No such image: x:latest";
// invalid argument; not found for a platform that the image lacks.
func (s *Service) Resolve(ctx context.Context, ref string, platform *ocispec.Platform) (*Image, error) {
	ctx = s.store.Context(ctx)
	found, err := s.names.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	v, err := s.content.variant(ctx, found.target, platform, ref)
	if err != nil {
		return nil, err
	}
	return &Image{
		ID:       found.target.Digest.String(),
		Manifest: v.desc,
		Name:     found.familiar,
		Config:   cloneConfig(v.config),
		Platform: v.platform,
		Chain:    v.chain,
	}, nil
}

// Prepare unpacks an image that was stored without being unpacked, such as one for another platform than this host's.
func (s *Service) Prepare(ctx context.Context, i *Image) error {
	ctx = s.store.Context(ctx)
	if v, err := s.content.manifest(ctx, i.Manifest); err == nil {
		if ready, err := s.vault.ready(ctx, v); ready && err == nil {
			return nil // nothing to write: each transaction costs two fsyncs
		}
	}
	return s.store.During(ctx, func(ctx context.Context) error {
		v, err := s.content.manifest(ctx, i.Manifest)
		if err != nil {
			return err
		}
		if err := s.vault.unpack(ctx, v); err != nil {
			return err
		}
		return s.store.Transact(ctx, func(ctx context.Context) error { return s.vault.labelConfig(ctx, v) })
	})
}

// Count is the number of images for /info.
func (s *Service) Count(ctx context.Context) (int, error) {
	all, err := s.names.all(s.store.Context(ctx))
	if err != nil {
		return 0, err
	}
	ids := map[digest.Digest]bool{}
	for _, i := range all {
		ids[i.Target.Digest] = true
	}
	return len(ids), nil
}
