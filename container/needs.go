package container

import (
	"context"
	"io"
	"net/netip"

	"gantry/storage"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What this room needs of its neighbours. The daemon hands in the real ones.
type (
	// Images resolves what the user typed to an image and keeps it from being removed.
	Images interface {
		Resolve(ctx context.Context, ref string, platform *ocispec.Platform) (*Image, error)
		// Prepare unpacks an image that has been stored only.
		Prepare(ctx context.Context, i *Image) error
		Hold(ctx context.Context, imageID string, by Holder) (release func(context.Context) error, err error)
		Commit(ctx context.Context, o CommitOptions) (id string, err error)
		// ApplyChanges applies Dockerfile instructions to a configuration.
		ApplyChanges(cfg *container.Config, changes []string) error
	}

	// Volumes keeps what outlives a container.
	Volumes interface {
		// Create makes a volume or finds it, and keeps it from being removed.
		Create(ctx context.Context, o volume.CreateRequest, by Holder) (v *volume.Volume, release func(context.Context) error, err error)
		Remove(ctx context.Context, name string, force bool) error
		Hold(ctx context.Context, name string, by Holder) (release func(context.Context) error, err error)
		Mount(ctx context.Context, name, user string) (path string, err error)
		Unmount(ctx context.Context, name, user string) error
		Inspect(ctx context.Context, name string) (*volume.Volume, error)
	}

	// Networks connects a container. Its types are those of package network, field by field.
	Networks interface {
		Check(ctx context.Context, r NetworkRequest) error
		Connect(ctx context.Context, r NetworkRequest) (*Sandbox, error)
		// Adopt returns the sandbox as it is now: a change that was interrupted has been finished or undone.
		Adopt(ctx context.Context, r NetworkRequest, sb Sandbox) (*Sandbox, error)
		Disconnect(ctx context.Context, containerID string) error
		Renamed(ctx context.Context, containerID, name string) error
	}

	// Endpoints are the networks of containers that run, one by one.
	Endpoints interface {
		// Name returns the name of a network. Errors: not found.
		Name(ctx context.Context, nameOrID string) (string, error)
		// Attach and Detach return the sandbox as it has become, also with an error after which there is no way back.
		Attach(ctx context.Context, containerID, network string, e *network.EndpointSettings) (*Sandbox, error)
		Detach(ctx context.Context, containerID, network string) (*Sandbox, error)
		// SetHosts replaces the additional lines of the hosts file, NAME:IP.
		SetHosts(ctx context.Context, containerID string, hosts []string) error
	}
)

// Holder is who keeps something from being removed.
type Holder struct{ Kind, ID, Name string }

// Image is as much of an image as a container needs.
type Image struct {
	ID       string // digest, "sha256:..."
	Manifest ocispec.Descriptor
	Name     string
	Config   dockerspec.DockerOCIImage
	Platform ocispec.Platform
	Chain    storage.ChainID
}

// CommitOptions is an image to be made of a container.
type CommitOptions struct {
	ContainerID, ParentID string // ParentID: Image.ID of the container's image; "" for none
	ParentPlatform        *ocispec.Platform
	Repo, Tag             string // both "" for an untagged image
	Author, Message       string
	Config                *container.Config // the new image's config, changes applied
	Layer                 io.Reader         // uncompressed tar
}

// NetworkRequest is a container that wants to be connected.
type NetworkRequest struct {
	ContainerID string
	Name        string // without the leading slash
	Hostname    string
	Domainname  string
	Mode        string
	Endpoints   map[string]*network.EndpointSettings // wanted, by network name or ID; nil for Mode alone
	Exposed     network.PortSet
	Ports       network.PortMap // wanted bindings
	Publish     bool            // all exposed ports
	DNS         []netip.Addr
	DNSOption   []string
	DNSSearch   []string
	Hosts       []string // NAME:IP
	Dir         string   // hosts, resolv.conf and hostname are written here
}

// Sandbox is a connected container.
type Sandbox struct {
	ID        string
	Key       string                               // path of the network namespace
	Endpoints map[string]*network.EndpointSettings // by network name
	Ports     network.PortMap
}
