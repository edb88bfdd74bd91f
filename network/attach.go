package network

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gantry/internal/fault"
	"gantry/internal/undo"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// attacher changes the networks of containers that are connected.
type attacher struct {
	*state
	joins *connector
	rules *ruler
	names *namer
}

// Attach connects a running container to one more network. Errors: not found, invalid argument, permission denied (it
// is connected already). Nothing has changed when it fails. The caller has one operation on the container at a time.
func (s *attacher) Attach(ctx context.Context, containerID, nameOrID string, settings *network.EndpointSettings) (_ *Sandbox, err error) {
	c, err := s.connection(containerID)
	if err != nil {
		return nil, err
	}
	w, err := s.checkAttach(c, nameOrID, settings)
	if err != nil {
		return nil, err
	}
	if settings != nil {
		w.id = settings.EndpointID
	}
	ns, err := sandbox.Join(c.key)
	if err != nil {
		return nil, err
	}
	defer ns.Release()
	var u undo.Stack
	defer u.OnError(ctx, &err) // while the namespace is open
	before := c.endpoints
	c.endpoints = slices.Clip(slices.Clone(before))
	if err := s.joins.admit(&c, w, &u); err != nil {
		return nil, err
	}
	e := c.endpoints[len(c.endpoints)-1]
	taken := (&connection{endpoints: before}).interfaces()
	way4, way6 := wayOut(c.endpoints, true), wayOut(c.endpoints, false)
	last := len(before)
	u.Push("restore routes", func(context.Context) error { return s.joins.setRoutes(ns, before) })
	if err := s.joins.plug(ctx, e, ns, taken, way4 == last, way6 == last, &u); err != nil {
		return nil, err
	}
	fault.Point("network.attach.interface")
	if err := s.rebindTo(ctx, &c, before); err != nil {
		return nil, err
	}
	return s.reconnected(ctx, c, e, events.ActionConnect)
}

// checkAttach is what Attach refuses.
func (s *attacher) checkAttach(c connection, nameOrID string, settings *network.EndpointSettings) (want, error) {
	l, err := s.find(nameOrID)
	if err != nil {
		return want{}, err
	}
	w := newWant(l, settings)
	if err := w.check(true); err != nil {
		return w, err
	}
	if c.in(l) != nil {
		return w, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("endpoint with name %s already exists in network %s", c.name, l.record.Name))
	}
	for _, e := range c.endpoints {
		switch e.lan.record.Name {
		case network.NetworkNone:
			return w, errdefs.ErrPermissionDenied.WithMessage("container cannot be connected to multiple networks with one of the networks in private (none) mode")
		case network.NetworkHost:
			return w, errdefs.ErrPermissionDenied.WithMessage("container sharing network namespace with another container or host cannot be connected to any other network")
		}
	}
	return w, nil
}

// Detach disconnects a running container from one of its networks. Errors: not found, permission denied (it is not in it).
// The caller has one operation on the container at a time.
func (s *attacher) Detach(ctx context.Context, containerID, nameOrID string) (*Sandbox, error) {
	c, err := s.connection(containerID)
	if err != nil {
		return nil, err
	}
	l, err := s.find(nameOrID)
	if err != nil {
		return nil, err
	}
	e := c.in(l)
	if e == nil {
		return nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("container %s is not connected to the network %s", containerID, l.record.Name))
	}
	if l.record.Name == network.NetworkHost {
		return nil, errdefs.ErrPermissionDenied.WithMessage("container cannot be disconnected from host network or connected to host network")
	}
	ctx = context.WithoutCancel(ctx)
	before := c.endpoints
	c.endpoints = slices.DeleteFunc(slices.Clone(before), func(other *endpoint) bool { return other == e })
	errs := []error{s.rebindTo(ctx, &c, before)}
	ns, err := sandbox.Join(c.key)
	if err != nil { // without its namespace, it is as good as disconnected
		errs, ns = append(errs, err), nil
	}
	s.joins.unplug(ctx, e, ns)
	fault.Point("network.detach.interface")
	if ns != nil {
		errs = append(errs, s.joins.setRoutes(ns, c.endpoints))
		ns.Release()
	}
	e.releaseAddresses()
	s.unuse(l)
	sb, err := s.reconnected(ctx, c, e, events.ActionDisconnect)
	return sb, errors.Join(append(errs, err)...)
}

// SetHosts replaces the additional lines of a container's hosts file, NAME:IP. One that is not connected is not an error.
func (s *attacher) SetHosts(_ context.Context, containerID string, hosts []string) error {
	s.update(containerID, func(c *connection) { c.request.Hosts = hosts })
	c, err := s.connection(containerID)
	if err != nil {
		return nil
	}
	return s.names.updateHosts(&c)
}

// setRoutes makes the way out that of these endpoints.
func (s *connector) setRoutes(ns *sandbox.Namespace, all []*endpoint) error {
	var errs []error
	if i := wayOut(all, true); i >= 0 {
		errs = append(errs, ns.SetDefault(all[i].link.Interface, all[i].route4, sandbox.Default{}))
	}
	if i := wayOut(all, false); i >= 0 {
		errs = append(errs, ns.SetDefault(all[i].link.Interface, sandbox.Default{}, all[i].route6))
	}
	return errors.Join(errs...)
}

// rebindTo lets the container's ports lead to its new way out, if that has changed.
func (s *attacher) rebindTo(ctx context.Context, c *connection, before []*endpoint) (err error) {
	if publisher(before) == publisher(c.endpoints) {
		return nil
	}
	old := rulesOf(c.bindings)
	if err := errors.Join(s.rules.publish(ctx, nil, old), s.joins.allocator.Release(c.bindings)); err != nil {
		return err
	}
	s.forgetFlows(old)
	s.update(c.id, func(now *connection) { now.bindings, now.ports = nil, nil })
	var u undo.Stack
	defer u.OnError(ctx, &err)
	return s.joins.bind(ctx, c, &u)
}

// reconnected makes a change of the endpoints known.
func (s *attacher) reconnected(ctx context.Context, c connection, e *endpoint, action events.Action) (*Sandbox, error) {
	s.update(c.id, func(now *connection) {
		now.endpoints, now.bindings, now.ports = c.endpoints, c.bindings, c.ports
	})
	err := s.names.resolveNames(ctx, append(slices.Clone(c.endpoints), e)...)
	err = errors.Join(err, s.names.updateHosts(&c))
	s.tell(e.lan, action, map[string]string{"container": c.id})
	return c.sandbox(), err
}
