package container

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"gantry/container/record"
	"gantry/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

const (
	sharesNamespace = "container sharing network namespace with another container or host cannot be connected to any other network"
	hostNetwork     = "container cannot be disconnected from host network or connected to host network"
)

// ConnectNetwork puts a container into one more network: at once if it runs, else from its next start on. Errors: not
// found, permission denied (its network mode, it is there already), conflict (being removed), invalid argument.
func (s *Service) ConnectNetwork(ctx context.Context, ref, nameOrID string, e *network.EndpointSettings) error {
	c, name, err := s.lockedForNetwork(ctx, ref, nameOrID)
	if err != nil {
		return err
	}
	defer c.unlock()
	ctx = context.WithoutCancel(ctx)
	r := c.Record()
	if r.HostConfig.NetworkMode.IsContainer() || r.HostConfig.NetworkMode.IsHost() {
		return errdefs.ErrPermissionDenied.WithMessage(sharesNamespace)
	}
	if e == nil {
		e = &network.EndpointSettings{}
	}
	wanted := map[string]*network.EndpointSettings{name: e}
	if !r.Up() {
		all := maps.Clone(r.Networks)
		maps.DeleteFunc(all, func(other string, _ *network.EndpointSettings) bool { return other == name })
		req := s.networkRequest(r)
		req.Endpoints = all
		maps.Copy(ensure(&req.Endpoints), wanted)
		if err := s.cfg.Networks.Check(ctx, req); err != nil {
			return err
		}
		return s.amend(c, func(r *record.Container) { setEndpoint(r, name, e) })
	}
	if r.Networks[name] != nil {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("endpoint with name %s already exists in network %s", r.Name, name))
	}
	return s.attach(ctx, c, name, e)
}

// attach connects a running container. The record says that first, with the endpoint's ID and no address, so that a crash
// between the two leaves something for the next start of the daemon to finish.
func (s *Service) attach(ctx context.Context, c *Container, name string, e *network.EndpointSettings) error {
	before := c.Record()
	e = e.Copy()
	e.EndpointID = newID()
	if err := s.amend(c, func(r *record.Container) { setEndpoint(r, name, e) }); err != nil {
		return err
	}
	fault.Point("container.connect.recorded")
	sb, err := s.cfg.Endpoints.Attach(ctx, c.id, name, e)
	if err != nil {
		return errors.Join(err, s.amend(c, func(r *record.Container) { r.Networks, r.DesiredMAC = before.Networks, before.DesiredMAC }))
	}
	fault.Point("container.connect.attached")
	return s.amend(c, func(r *record.Container) { r.Networks, r.Ports = sb.Endpoints, sb.Ports })
}

// DisconnectNetwork takes a container out of a network. Errors: not found, permission denied (it is not in it), conflict.
func (s *Service) DisconnectNetwork(ctx context.Context, ref, nameOrID string, force bool) error {
	c, name, err := s.lockedForNetwork(ctx, ref, nameOrID)
	if errdefs.IsNotFound(err) && force {
		if c, err = s.locked(ctx, ref); err != nil {
			return err
		}
		name = nameOrID // the network is gone, and may go from the record, too
	} else if err != nil {
		return err
	}
	defer c.unlock()
	ctx = context.WithoutCancel(ctx)
	r := c.Record()
	if r.HostConfig.NetworkMode.IsHost() && name == network.NetworkHost {
		return errdefs.ErrPermissionDenied.WithMessage(hostNetwork)
	}
	e := r.Networks[name]
	if e == nil {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("container %s is not connected to the network %s", r.ID, name))
	}
	if !r.Up() {
		return s.amend(c, func(r *record.Container) { dropEndpoint(r, name) })
	}
	half := wantedEndpoint(r, name)
	half.EndpointID = e.EndpointID
	if err := s.amend(c, func(r *record.Container) { setEndpoint(r, name, half) }); err != nil {
		return err
	}
	fault.Point("container.disconnect.recorded")
	sb, err := s.cfg.Endpoints.Detach(ctx, c.id, name)
	if sb == nil {
		return errors.Join(err, s.amend(c, func(now *record.Container) { now.Networks = r.Networks }))
	}
	fault.Point("container.disconnect.detached")
	return errors.Join(err, s.amend(c, func(r *record.Container) {
		dropEndpoint(r, name)
		r.Networks, r.Ports = sb.Endpoints, sb.Ports
	}))
}

// lockedForNetwork finds the container, locked, and the network's name.
func (s *Service) lockedForNetwork(ctx context.Context, ref, nameOrID string) (*Container, string, error) {
	if _, err := s.Get(ref); err != nil {
		return nil, "", err
	}
	name, err := s.cfg.Endpoints.Name(ctx, nameOrID)
	if err != nil {
		return nil, "", err
	}
	c, err := s.locked(ctx, ref)
	if err != nil {
		return nil, "", err
	}
	if r := c.Record(); r.Status == record.Removing || r.Status == record.Dead {
		c.unlock()
		return nil, "", errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"container %s is marked for removal and cannot be connected or disconnected to the network", r.ID))
	}
	return c, name, nil
}

// setEndpoint changes copies: a published record is never changed.
func setEndpoint(r *record.Container, name string, e *network.EndpointSettings) {
	r.Networks, r.DesiredMAC = maps.Clone(r.Networks), maps.Clone(r.DesiredMAC)
	ensure(&r.Networks)[name] = e
	if len(e.MacAddress) > 0 {
		ensure(&r.DesiredMAC)[name] = e.MacAddress
	}
}

func dropEndpoint(r *record.Container, name string) {
	r.Networks, r.DesiredMAC = maps.Clone(r.Networks), maps.Clone(r.DesiredMAC)
	delete(r.Networks, name)
	delete(r.DesiredMAC, name)
}

// ensure makes a map that is nil.
func ensure[K comparable, V any](m *map[K]V) map[K]V {
	if *m == nil {
		*m = map[K]V{}
	}
	return *m
}

// wantedEndpoint takes from an endpoint what only holds while the container runs.
func wantedEndpoint(r *record.Container, name string) *network.EndpointSettings {
	e := r.Networks[name]
	return &network.EndpointSettings{
		IPAMConfig: e.IPAMConfig, Links: e.Links, Aliases: e.Aliases, DriverOpts: e.DriverOpts,
		GwPriority: e.GwPriority, NetworkID: e.NetworkID, MacAddress: r.DesiredMAC[name],
	}
}
