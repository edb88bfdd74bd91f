package daemon

import (
	"context"
	"io"
	"time"

	"gantry/container"
	"gantry/container/record"
	"gantry/image"
	"gantry/network"
	"gantry/storage"
	"gantry/volume"

	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	networktypes "github.com/moby/moby/api/types/network"
	volumetypes "github.com/moby/moby/api/types/volume"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Adapters between rooms that are strangers to each other: the same values under the names that each side has for them.

type imagesForContainers struct{ *image.Service }

func (i imagesForContainers) Resolve(ctx context.Context, ref string, platform *ocispec.Platform) (*container.Image, error) {
	found, err := i.Service.Resolve(ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	return (*container.Image)(found), nil
}

func (i imagesForContainers) Prepare(ctx context.Context, img *container.Image) error {
	return i.Service.Prepare(ctx, (*image.Image)(img))
}

func (i imagesForContainers) Hold(ctx context.Context, id string, by container.Holder) (func(context.Context) error, error) {
	return i.Service.Hold(ctx, id, image.Holder(by))
}

func (i imagesForContainers) Commit(ctx context.Context, o container.CommitOptions) (string, error) {
	return i.Service.Commit(ctx, image.CommitOptions(o))
}

func (i imagesForContainers) ApplyChanges(cfg *containertypes.Config, changes []string) error {
	return image.ApplyChanges(cfg, changes)
}

type volumesForContainers struct{ *volume.Service }

func (v volumesForContainers) Create(ctx context.Context, o volumetypes.CreateRequest, by container.Holder) (*volumetypes.Volume, func(context.Context) error, error) {
	return v.CreateHeld(ctx, o, volume.Holder(by))
}

func (v volumesForContainers) Hold(ctx context.Context, name string, by container.Holder) (func(context.Context) error, error) {
	return v.Service.Hold(ctx, name, volume.Holder(by))
}

type networksForContainers struct {
	*network.Service
	observe func(action string, took time.Duration)
}

func (n networksForContainers) Check(ctx context.Context, r container.NetworkRequest) error {
	return n.Service.Check(ctx, network.Request(r))
}

func (n networksForContainers) Connect(ctx context.Context, r container.NetworkRequest) (*container.Sandbox, error) {
	began := time.Now()
	sb, err := n.Service.Connect(ctx, network.Request(r))
	n.observe("allocate", time.Since(began))
	return (*container.Sandbox)(sb), err
}

func (n networksForContainers) Disconnect(ctx context.Context, containerID string) error {
	began := time.Now()
	err := n.Service.Disconnect(ctx, containerID)
	n.observe("release", time.Since(began))
	return err
}

func (n networksForContainers) Adopt(ctx context.Context, r container.NetworkRequest, sb container.Sandbox) (*container.Sandbox, error) {
	now, err := n.Service.Adopt(ctx, network.Request(r), network.Sandbox(sb))
	return (*container.Sandbox)(now), err
}

func (n networksForContainers) Attach(ctx context.Context, containerID, name string, e *networktypes.EndpointSettings) (*container.Sandbox, error) {
	sb, err := n.Service.Attach(ctx, containerID, name, e)
	return (*container.Sandbox)(sb), err
}

func (n networksForContainers) Detach(ctx context.Context, containerID, name string) (*container.Sandbox, error) {
	sb, err := n.Service.Detach(ctx, containerID, name)
	return (*container.Sandbox)(sb), err
}

type recordsForArchive struct{ *container.Service }

func (c recordsForArchive) Record(ref string) (*record.Container, error) {
	found, err := c.Get(ref)
	if err != nil {
		return nil, err
	}
	return found.Record(), nil
}

// announce publishes an event of a container for a room that has no journal.
func announce(c *container.Service) func(*record.Container, events.Action) {
	return func(r *record.Container, action events.Action) { c.Announce(r, action, nil) }
}

// layersForRegistries are chains by digests.
type layersForRegistries struct{ *storage.Service }

func (l layersForRegistries) HasChain(ctx context.Context, chain digest.Digest) (bool, error) {
	return l.Service.HasChain(ctx, storage.ChainID(chain))
}

func (l layersForRegistries) Unpack(ctx context.Context, parent, diffID digest.Digest, tar io.Reader) (digest.Digest, error) {
	chain, err := l.Service.Unpack(ctx, storage.ChainID(parent), storage.DiffID(diffID), tar)
	return digest.Digest(chain), err
}
