package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"gantry/network/driver"
	"gantry/network/firewall"
	"gantry/network/ports"
	"gantry/network/sandbox"

	"github.com/moby/moby/api/types/network"
)

// adopter takes over what ran on while no daemon was there.
type adopter struct {
	*state
	joins *connector
	rules *ruler
	names *namer
}

// Adopt takes over the sandbox of a container that ran on while there was no daemon.
// An endpoint with an ID and without an address was being made or unmade when the daemon was killed: it is removed. (Making it anew has to wait until
// all others have claimed their addresses.) One whose network is gone is left out, too. It returns the sandbox as it is now.
func (s *adopter) Adopt(ctx context.Context, r Request, sb Sandbox) (*Sandbox, error) {
	c := &connection{id: r.ContainerID, name: r.Name, request: r, sandboxID: sb.ID, key: sb.Key, ports: sb.Ports}
	if len(sb.Endpoints) == 0 {
		sb.Endpoints = map[string]*network.EndpointSettings{r.Mode: {}}
	}
	if err := s.enter(c.id); err != nil {
		return nil, err
	}
	var errs []error
	var undone []*endpoint
	for _, name := range slices.Sorted(maps.Keys(sb.Endpoints)) {
		e, err := s.adoptEndpoint(c, name, sb.Endpoints[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if e.interrupted() {
			undone = append(undone, e)
			continue
		}
		c.endpoints = append(c.endpoints, e)
	}
	s.lookInside(ctx, c, undone)
	if e := publisher(c.endpoints); e != nil {
		s.rebind(ctx, c, e.settings.IPAddress)
	}
	s.settle(c)
	errs = append(errs, s.rules.publish(ctx, rulesOf(c.bindings), nil), s.names.resolveNames(ctx, c.endpoints...))
	return c.sandbox(), errors.Join(errs...)
}

// interrupted tells that an endpoint of a record was neither there nor gone.
func (e *endpoint) interrupted() bool {
	return len(e.lan.subnets) > 0 && e.link.ID != "" && len(e.addresses()) == 0
}

// adoptEndpoint takes an endpoint over as it was recorded. An address that cannot be claimed is used all the same: the
// container has it.
func (s *adopter) adoptEndpoint(c *connection, nameOrID string, settings *network.EndpointSettings) (*endpoint, error) {
	if settings == nil {
		settings = &network.EndpointSettings{}
	}
	if nameOrID == network.NetworkDefault {
		nameOrID = network.NetworkBridge
	}
	l, err := s.find(nameOrID)
	if err == nil {
		err = s.use(l)
	}
	if err != nil {
		return nil, fmt.Errorf("container %s is in a network that is gone: %w", c.id, err)
	}
	e := &endpoint{lan: l, settings: settings.Copy(), link: driver.Endpoint{ID: settings.EndpointID}}
	if l.named() && len(settings.DNSNames) == 0 { // a record of before
		e.settings.DNSNames = dnsNames(c.request.names(), settings.Aliases)
	}
	for _, p := range []netip.Prefix{
		netip.PrefixFrom(settings.IPAddress, settings.IPPrefixLen), netip.PrefixFrom(settings.GlobalIPv6Address, settings.GlobalIPv6PrefixLen),
	} {
		if !p.IsValid() {
			continue
		}
		e.link.Addresses = append(e.link.Addresses, p)
		at := slices.IndexFunc(l.subnets, func(sub subnet) bool { return sub.Prefix.Contains(p.Addr()) })
		if at < 0 {
			slog.Warn("address of a running container is not of its network", "container", c.id, "address", p, "network", l.record.Name)
			continue
		}
		sub := l.subnets[at]
		if route := l.driver.Route(l.conf, sub.Subnet); p.Addr().Is4() {
			e.route4 = route
		} else {
			e.route6 = route
		}
		if err := sub.addresses.Claim(p.Addr()); err != nil {
			slog.Warn("address of a running container cannot be claimed", "container", c.id, "address", p, "err", err)
			continue
		}
		e.held = append(e.held, held{sub.addresses, p.Addr()})
	}
	return e, nil
}

// lookInside finds out what the endpoints' interfaces are called, by the addresses that they have, and removes what is undone.
func (s *adopter) lookInside(ctx context.Context, c *connection, undone []*endpoint) {
	if c.key == "" {
		return
	}
	ns, err := sandbox.Join(c.key)
	if err != nil {
		slog.Warn("sandbox of a running container cannot be opened", "container", c.id, "sandbox", c.key, "err", err)
		for _, e := range undone {
			s.joins.unplug(ctx, e, nil)
			s.unuse(e.lan)
		}
		return
	}
	defer ns.Release()
	for _, e := range undone {
		s.joins.unplug(ctx, e, ns)
		s.unuse(e.lan)
	}
	names, err := ns.Interfaces()
	if err != nil {
		slog.Warn("interfaces of a running container cannot be listed", "container", c.id, "err", err)
	}
	for _, e := range c.endpoints {
		for _, a := range e.link.Addresses {
			if name := names[a.Addr()]; name != "" {
				e.link.Interface = name
			}
		}
	}
	if len(undone) > 0 {
		if err := s.joins.setRoutes(ns, c.endpoints); err != nil {
			slog.Warn("routes of a running container cannot be restored", "container", c.id, "err", err)
		}
	}
}

// rebind reserves the ports again. One that a process has taken meanwhile is published all the same: its rule has
// gone on leading to the container.
func (s *adopter) rebind(ctx context.Context, c *connection, to netip.Addr) {
	for _, p := range sortedPorts(c.ports) {
		for _, b := range c.ports[p] {
			port, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil {
				continue
			}
			w := ports.Wish{Container: p, Hosts: []netip.Addr{b.HostIP}, First: uint16(port), Last: uint16(port)}
			bound, err := s.joins.allocator.Bind(ctx, w, to)
			if err != nil {
				slog.Warn("port of a running container cannot be reserved again", "container", c.id, "port", b.HostPort, "err", err)
				bound = s.joins.allocator.Keep(w, to)
			}
			c.bindings = append(c.bindings, bound...)
		}
	}
}

// Settle removes the sandboxes, endpoints and bindings that no Connect or Adopt has claimed. Once, after restore.
// Bindings are gone when it returns; the slow rest goes on in the background.
func (s *adopter) Settle(ctx context.Context) error {
	claimed := map[string]bool{}
	s.mu.Lock()
	for _, c := range s.connected {
		claimed[c.key] = true
	}
	s.mu.Unlock()
	lost := slices.DeleteFunc(slices.Clone(s.before.keys), func(key string) bool { return claimed[key] })
	s.background.Go(func() {
		for _, key := range lost {
			if err := sandbox.Clear(key); err != nil {
				slog.Warn("cannot remove a sandbox that nobody claims", "sandbox", key, "err", err)
			}
		}
	})
	return s.withdrawUnclaimed(ctx)
}

// withdrawUnclaimed removes the rules that an earlier process has left, unless a container has been connected or adopted
// that has the port now.
func (s *adopter) withdrawUnclaimed(ctx context.Context) error {
	var stale []firewall.Port
	for _, p := range s.before.ports {
		if !s.joins.allocator.Held(p) {
			stale = append(stale, p)
		}
	}
	return s.rules.publish(ctx, nil, stale)
}

// Renamed updates the names of a connected container.
func (s *adopter) Renamed(ctx context.Context, containerID, name string) error {
	c, err := s.connection(containerID)
	if err != nil {
		return nil // it is not running
	}
	c.request.Name = name
	endpoints := slices.Clone(c.endpoints)
	for i, e := range endpoints {
		if !e.lan.named() {
			continue
		}
		renamed := *e
		renamed.settings = e.settings.Copy()
		renamed.settings.DNSNames = dnsNames(c.request.names(), e.settings.Aliases)
		endpoints[i] = &renamed
	}
	s.update(c.id, func(now *connection) { now.name, now.request.Name, now.endpoints = name, name, endpoints })
	return s.names.resolveNames(ctx, endpoints...)
}
