package container

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gantry/container/record"
	"gantry/internal/atomicfile"
	"gantry/internal/fault"
	"gantry/internal/undo"
	"gantry/security"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CreateRequest is POST /containers/create.
type CreateRequest struct {
	Name       string // "" for a random one
	Platform   *ocispec.Platform
	Config     *container.Config
	HostConfig *container.HostConfig
	Networking *network.NetworkingConfig
}

// creator makes containers.
type creator struct {
	*records
}

// Create makes a container that can be started. Errors: not found (image), conflict (name in use),
// invalid argument (settings). Nothing is left behind when it fails.
func (s *creator) Create(ctx context.Context, req CreateRequest) (_ container.CreateResponse, err error) {
	defer s.observe("create", time.Now())
	ctx = context.WithoutCancel(ctx) // a client that hangs up never leaves half of it
	var u undo.Stack
	defer u.OnError(ctx, &err)

	set := s.settings.Load()
	r, warnings, err := s.draft(ctx, req, set)
	if err != nil {
		return container.CreateResponse{}, err
	}
	if err := s.name(r, req.Name); err != nil {
		return container.CreateResponse{}, err
	}
	u.Push("release name", func(context.Context) error { s.index.release(r.Name); return nil })

	c := newContainer(filepath.Join(s.dir, r.ID), r)
	u.Push("release holds", func(ctx context.Context) error { return c.releaseHolds(ctx) })
	if err := s.hold(ctx, c, r); err != nil {
		return container.CreateResponse{}, err
	}
	if err := os.Mkdir(c.dir, 0o710); err != nil {
		return container.CreateResponse{}, err
	}
	u.Push("remove directory", func(context.Context) error { return os.RemoveAll(c.dir) })
	fault.Point("container.create.directory")
	if err := s.holdMountedImages(ctx, c, r); err != nil {
		return container.CreateResponse{}, err
	}
	if err := s.makeVolumes(ctx, c, r, &u); err != nil {
		return container.CreateResponse{}, err
	}
	u.Push("remove rw layer", func(ctx context.Context) error { return s.cfg.Storage.RemoveRW(ctx, r.ID) })
	if err := s.record(ctx, c, r); err != nil {
		return container.CreateResponse{}, err
	}
	fault.Point("container.create.record")
	s.index.add(c)
	s.Announce(r, events.ActionCreate, nil)
	return container.CreateResponse{ID: r.ID, Warnings: warnings}, nil
}

// record makes the rw layer and the record. Both become durable at the same time, since the syncs are most of what a
// create takes; the record gets its name when the layer is there.
func (s *creator) record(ctx context.Context, c *Container, r *record.Container) error {
	type written struct {
		files *atomicfile.Staged
		err   error
	}
	ready := make(chan written, 1)
	go func() {
		files, err := stage(c, r)
		ready <- written{files, err}
	}()
	err := s.cfg.Storage.CreateRW(ctx, r.ID, r.Chain, r.HostConfig.StorageOpt)
	fault.Point("container.create.layer")
	w := <-ready
	if w.err != nil || err != nil {
		if w.files != nil {
			w.err = w.files.Discard()
		}
		return cmp.Or(err, w.err)
	}
	return w.files.Name(record.ConfigFile)
}

// draft resolves the image and makes the record; nothing is acquired yet.
func (s *creator) draft(ctx context.Context, req CreateRequest, set *Settings) (*record.Container, []string, error) {
	if req.Config == nil {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage("config cannot be empty in order to create a container")
	}
	config, host := *req.Config, container.HostConfig{}
	if req.HostConfig != nil {
		host = *req.HostConfig
	}
	if host.NetworkMode.IsContainer() && len(config.ExposedPorts) > 0 && len(host.PortBindings) == 0 { // the image's own do no harm
		return nil, nil, invalid("conflicting options: port exposing and the container type network mode")
	}
	image, err := s.image(ctx, config.Image, req.Platform)
	if err != nil {
		return nil, nil, err
	}
	mergeImage(&config, image)
	mergeDefaults(&config, &host, set)
	if host.Runtime, err = s.runtime(host.Runtime); err != nil {
		return nil, nil, err
	}
	warnings, err := validate(&config, &host, set)
	if err != nil {
		return nil, nil, err
	}
	id := newID()
	if config.Hostname == "" {
		config.Hostname, err = defaultHostname(id, &host)
		if err != nil {
			return nil, nil, err
		}
	}
	r := &record.Container{
		ID: id, Created: time.Now().UTC(), Config: &config, HostConfig: &host,
		State: record.State{Status: record.Created},
	}
	r.Path, r.Args = command(&config)
	r.Driver, _ = s.cfg.Storage.Driver()
	if image != nil {
		r.ImageID, r.Platform, r.Chain = image.ID, image.Platform, image.Chain
		r.ImageManifest = &image.Manifest
	}
	if err := s.confine(r); err != nil {
		return nil, nil, err
	}
	if r.Mounts, err = s.mountPoints(r); err != nil {
		return nil, nil, err
	}
	if err := s.settleLinks(&host); err != nil {
		return nil, nil, err
	}
	if err := s.joinNetworks(ctx, r, req.Networking); err != nil {
		return nil, nil, err
	}
	r.LogPath = s.logPath(r)
	return r, warnings, nil
}

func (s *creator) image(ctx context.Context, ref string, platform *ocispec.Platform) (*Image, error) {
	if ref == "" {
		return nil, nil // a container without an image has an empty root
	}
	image, err := s.cfg.Images.Resolve(ctx, ref, platform)
	if err == nil {
		err = s.cfg.Images.Prepare(ctx, image)
	}
	return image, err
}

// runtime is the name asked for, or the daemon's default. Errors: invalid argument.
func (s *creator) runtime(name string) (string, error) {
	all, byDefault := s.cfg.Tasks.Runtimes()
	if name == "" {
		return byDefault, nil
	}
	if _, known := all[name]; !known {
		return "", invalid("unknown or invalid runtime name: " + name)
	}
	return name, nil
}

// confine settles what --security-opt says, so that it cannot change under a container.
func (s *creator) confine(r *record.Container) error {
	o, err := security.Parse(r.HostConfig.SecurityOpt)
	if err != nil {
		return err
	}
	if r.ProcessLabel, r.MountLabel, err = s.cfg.Security.Labels(o, r.HostConfig.Privileged); err != nil {
		return err
	}
	if r.AppArmor, err = s.cfg.Security.AppArmor(o, r.HostConfig.Privileged); err != nil {
		return err
	}
	r.SeccompProfile = o.Seccomp
	r.NoNewPrivs = s.settings.Load().Spec.NoNewPrivs
	if o.NoNewPrivs != nil {
		r.NoNewPrivs = *o.NoNewPrivs
	}
	_, err = security.Capabilities(r.HostConfig.CapAdd, r.HostConfig.CapDrop, r.HostConfig.Privileged)
	return err
}

// joinNetworks settles which networks the container is to be in.
func (s *creator) joinNetworks(ctx context.Context, r *record.Container, n *network.NetworkingConfig) error {
	mode := r.HostConfig.NetworkMode
	if mode.IsContainer() {
		if n != nil && len(n.EndpointsConfig) > 0 {
			return errdefs.ErrInvalidArgument.WithMessage("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
		}
		return nil // the other container is looked for at each start
	}
	r.Networks = map[string]*network.EndpointSettings{}
	if n != nil {
		for name, e := range n.EndpointsConfig {
			if e == nil {
				e = &network.EndpointSettings{}
			}
			if name == network.NetworkDefault {
				name = modeName(mode)
			}
			r.Networks[s.networkName(ctx, name)] = e
		}
	}
	if name := s.networkName(ctx, modeName(mode)); r.Networks[name] == nil && !r.Config.NetworkDisabled {
		r.Networks[name] = &network.EndpointSettings{}
	}
	r.DesiredMAC = map[string]network.HardwareAddr{}
	for name, e := range r.Networks {
		if len(e.MacAddress) > 0 {
			r.DesiredMAC[name] = e.MacAddress
		}
	}
	err := s.cfg.Networks.Check(ctx, s.networkRequest(r))
	if errdefs.IsNotFound(err) {
		// As dockerd: a network may be made before the start. And to the CLI, a create that
		// does not find something means that the image has to be pulled.
		return nil
	}
	return err
}

// networkName is the name of a network that may be given by ID. One that is not there, yet, is called as the user does.
func (s *records) networkName(ctx context.Context, nameOrID string) string {
	if name, err := s.cfg.Endpoints.Name(ctx, nameOrID); err == nil {
		return name
	}
	return nameOrID
}

// modeName is the network that a mode stands for.
func modeName(m container.NetworkMode) string {
	if m == "" || m.IsDefault() {
		return network.NetworkBridge
	}
	return string(m)
}

// name reserves the wanted name, or a random one.
func (s *creator) name(r *record.Container, wanted string) error {
	if wanted != "" {
		if err := checkName(wanted); err != nil {
			return err
		}
		r.Name = strings.TrimPrefix(wanted, "/")
		return s.index.reserve(r.Name, r.ID)
	}
	for attempt := range 8 {
		r.Name = randomName(attempt)
		if s.index.reserve(r.Name, r.ID) == nil {
			return nil
		}
	}
	r.Name = r.ID[:12]
	return s.index.reserve(r.Name, r.ID)
}

// holdRunning names the container as a running one to who wants to remove its image; the release is the next exit's.
func (s *starter) holdRunning(ctx context.Context, c *Container) error {
	r := c.Record()
	if r.ImageID == "" {
		return nil
	}
	release, err := s.cfg.Images.Hold(ctx, r.ImageID, Holder{Kind: "running container", ID: r.ID, Name: r.Name})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = release
	return err
}

func (c *Container) releaseRunning(ctx context.Context) error {
	c.mu.Lock()
	release := c.running
	c.running = nil
	c.mu.Unlock()
	if release == nil {
		return nil
	}
	return release(ctx)
}

// hold keeps the image and the volumes of the container from being removed.
func (s *creator) hold(ctx context.Context, c *Container, r *record.Container) error {
	if r.ImageID != "" {
		release, err := s.cfg.Images.Hold(ctx, r.ImageID, holderOf(r))
		if err != nil {
			return err
		}
		c.keep(release)
	}
	return nil
}

func holderOf(r *record.Container) Holder { return Holder{Kind: "container", ID: r.ID, Name: r.Name} }

func (c *Container) keep(release func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holds = append(c.holds, release)
}

func (c *Container) releaseHolds(ctx context.Context) error { return release(ctx, c.takeHolds()) }

// takeHolds returns the releases of all holds; the container has none then.
func (c *Container) takeHolds() []func(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	holds := c.holds
	c.holds = nil
	return holds
}

func release(ctx context.Context, holds []func(context.Context) error) error {
	var u undo.Stack
	for _, release := range holds {
		u.Push("release", release)
	}
	return u.Unwind(ctx)
}

// newID returns 64 hex digits whose first twelve are not a number: the short form is
// a host name, and tools that read it must not take it for one.
func newID() string {
	for {
		var b [32]byte
		rand.Read(b[:])
		id := hex.EncodeToString(b[:])
		if _, err := strconv.ParseInt(id[:12], 10, 64); err != nil {
			return id
		}
	}
}

// command joins entrypoint and command to what is executed.
func command(c *container.Config) (path string, args []string) {
	all := slices.Concat(c.Entrypoint, c.Cmd)
	return all[0], all[1:]
}

func checkName(name string) error {
	bare := strings.TrimPrefix(name, "/")
	valid := len(bare) > 1
	for i, r := range bare {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		valid = valid && (alnum || i > 0 && (r == '_' || r == '.' || r == '-'))
	}
	if !valid {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name))
	}
	return nil
}
