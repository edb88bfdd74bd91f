package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"gantry/internal/fault"
	"gantry/internal/undo"
	"gantry/network/dns"
	"gantry/network/files"
	"gantry/network/firewall"
	"gantry/network/ports"
	"gantry/network/sandbox"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// connector gives containers their sandboxes and takes them back.
type connector struct {
	*state
	rules     *ruler
	names     *namer
	pool      *sandbox.Pool
	allocator *ports.Allocator
}

// Connect makes the sandbox, its endpoints and bindings, and writes the files in Dir. Errors: as Check, and
// "Bind for 0.0.0.0:80 failed: port is already allocated". Nothing is left when it fails.
func (s *connector) Connect(ctx context.Context, r Request) (_ *Sandbox, err error) {
	wants, err := s.resolve(r)
	if err != nil {
		return nil, err
	}
	var u undo.Stack
	defer u.OnError(ctx, &err)
	c := &connection{id: r.ContainerID, name: r.Name, request: r, sandboxID: sandbox.NewID(), ports: network.PortMap{}}
	if err := s.enter(c.id); err != nil {
		return nil, err
	}
	u.Push("forget", func(context.Context) error { s.leave(c.id); return nil })
	for _, w := range wants {
		if err := s.admit(c, w, &u); err != nil {
			return nil, err
		}
	}
	if wants[0].lan.record.Name != network.NetworkHost {
		if err := s.furnish(ctx, c, &u); err != nil {
			return nil, err
		}
	}
	if err := s.bind(ctx, c, &u); err != nil {
		return nil, err
	}
	if err := s.names.writeFiles(c); err != nil {
		return nil, err
	}
	u.Push("end resolver", func(ctx context.Context) error { return s.names.unresolve(ctx, c) })
	s.settle(c)
	if err := s.names.resolveNames(ctx, c.endpoints...); err != nil {
		return nil, err
	}
	for _, e := range c.endpoints {
		s.tell(e.lan, events.ActionConnect, map[string]string{"container": c.id})
	}
	fault.Point("network.connect.done")
	return c.sandbox(), nil
}

// admit takes a place in a network, with addresses.
func (s *connector) admit(c *connection, w want, u *undo.Stack) error {
	if err := s.use(w.lan); err != nil {
		return err
	}
	u.Push("leave network", func(context.Context) error { s.unuse(w.lan); return nil })
	e, err := draftEndpoint(w, c.request.names())
	if err != nil {
		return err
	}
	u.Push("release addresses", func(context.Context) error { e.releaseAddresses(); return nil })
	c.endpoints = append(c.endpoints, e)
	return nil
}

// furnish gives the connection a namespace and its interfaces.
func (s *connector) furnish(ctx context.Context, c *connection, u *undo.Stack) error {
	ns, err := s.pool.Get()
	if err != nil {
		return err
	}
	defer ns.Release()
	u.Push("remove sandbox", func(context.Context) error { return sandbox.Remove(ns.Key) })
	c.sandboxID, c.key = ns.ID, ns.Key
	fault.Point("network.connect.sandbox")
	taken := []string{"lo"}
	way4, way6 := wayOut(c.endpoints, true), wayOut(c.endpoints, false)
	for i, e := range c.endpoints {
		if err := s.plug(ctx, e, ns, taken, i == way4, i == way6, u); err != nil {
			return err
		}
		taken = append(taken, e.link.Interface)
	}
	return nil
}

// bind publishes the container's ports at the endpoint that is its way out, if the network can.
func (s *connector) bind(ctx context.Context, c *connection, u *undo.Stack) error {
	e := publisher(c.endpoints)
	c.ports, c.bindings = network.PortMap{}, nil
	if e == nil {
		return nil
	}
	wishes, err := s.wishes(c.request, bindingOf(e.lan))
	if err != nil {
		return err
	}
	u.Push("release ports", func(context.Context) error { return s.allocator.Release(c.bindings) })
	for _, w := range wishes {
		bound, err := s.allocator.Bind(ctx, w, e.settings.IPAddress)
		if err != nil {
			return fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w", c.name, e.link.ID, err)
		}
		c.bindings = append(c.bindings, bound...)
	}
	c.ports = portMap(c.request, c.bindings)
	add := rulesOf(c.bindings)
	u.Push("withdraw ports", func(ctx context.Context) error { return s.rules.publish(ctx, nil, add) })
	if err := s.rules.publish(ctx, add, nil); err != nil {
		return err
	}
	s.forgetFlows(add)
	return nil
}

// publisher is the endpoint whose addresses the container's ports lead to; nil for none.
func publisher(all []*endpoint) *endpoint {
	i := wayOut(all, true)
	if i < 0 {
		i = wayOut(all, false)
	}
	if i < 0 || !all[i].lan.traits.Publish || !all[i].settings.IPAddress.IsValid() {
		return nil
	}
	return all[i]
}

// rulesOf are the bindings that the firewall sees to: IPv6 ones are forwarded, for the network has no IPv6.
func rulesOf(bindings []*ports.Binding) []firewall.Port {
	var out []firewall.Port
	for _, b := range bindings {
		if b.Host.Addr().Is4() {
			out = append(out, b.Port)
		}
	}
	return out
}

// writeFiles writes the files of a container that is about to start.
func (s *namer) writeFiles(c *connection) error {
	if c.request.Dir == "" {
		return nil
	}
	return files.Write(c.request.Dir, s.content(c))
}

// updateHosts follows a change of a container that runs.
func (s *namer) updateHosts(c *connection) error {
	if c.request.Dir == "" {
		return nil
	}
	content := s.content(c)
	return errors.Join(files.UpdateHosts(c.request.Dir, content), files.UpdateResolv(c.request.Dir, content))
}

// content is what the files of a container say.
func (s *namer) content(c *connection) files.Content {
	r := c.request
	content := files.Content{
		Hostname: r.Hostname, Domainname: r.Domainname, Hosts: r.Hosts, Gateways: orDefault(s.cfg.HostGatewayIPs, s.hostAddresses),
		DNS: orDefault(r.DNS, s.cfg.DNS), Search: orDefault(r.DNSSearch, s.cfg.DNSSearch), Options: orDefault(r.DNSOption, s.cfg.DNSOptions),
	}
	for _, e := range byPriority(c.endpoints) {
		content.More = append(content.More, e.addresses()...)
		if _, none := s.cfg.Resolver.(noResolver); e.lan.named() && !none {
			content.Responder = netip.MustParseAddr(dns.Address)
		}
		content.FromHost = content.FromHost || e.lan.record.Name == network.NetworkHost
	}
	if len(content.More) > 0 {
		content.Address, content.More = content.More[0], content.More[1:]
	}
	return content
}
