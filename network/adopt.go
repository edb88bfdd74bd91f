package network

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"

	"gantry/network/firewall"
	"gantry/network/ports"
	"gantry/network/sandbox"

	"github.com/moby/moby/api/types/network"
)

// Adopt takes over the sandbox of a container that ran on while there was no daemon.
func (s *Service) Adopt(ctx context.Context, r Request, sb Sandbox) error {
	n, _, err := s.resolve(Request{Mode: r.Mode})
	if err != nil {
		return err
	}
	c := &connection{id: r.ContainerID, name: r.Name, network: n.Name}
	if err := s.enter(c.id); err != nil {
		return err
	}
	defer s.settle(c)
	c.sandbox = sb
	e := sb.Endpoints[n.Name]
	if e == nil {
		e = &network.EndpointSettings{}
		c.sandbox.Endpoints = map[string]*network.EndpointSettings{n.Name: e}
	}
	if n.Name != network.NetworkBridge || !e.IPAddress.IsValid() || len(e.EndpointID) < 7 {
		return nil
	}
	c.veth = "veth" + e.EndpointID[:7]
	if err := s.subnet.Claim(e.IPAddress); err != nil {
		slog.Warn("address of a running container cannot be claimed", "container", c.id, "address", e.IPAddress, "err", err)
	} else {
		c.address = e.IPAddress
	}
	s.rebind(ctx, c, e.IPAddress)
	return s.publish(ctx, rulesOf(c.bindings), nil)
}

// rebind reserves the ports again. One that a process has taken meanwhile is published all the same: its rule has
// gone on leading to the container.
func (s *Service) rebind(ctx context.Context, c *connection, to netip.Addr) {
	for _, p := range sortedPorts(c.sandbox.Ports) {
		for _, b := range c.sandbox.Ports[p] {
			port, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil {
				continue
			}
			w := ports.Wish{Container: p, Hosts: []netip.Addr{b.HostIP}, First: uint16(port), Last: uint16(port)}
			bound, err := s.allocator.Bind(ctx, w, to)
			if err != nil {
				slog.Warn("port of a running container cannot be reserved again", "container", c.id, "port", b.HostPort, "err", err)
				bound = s.allocator.Keep(w, to)
			}
			c.bindings = append(c.bindings, bound...)
		}
	}
}

// Settle removes the sandboxes, endpoints and bindings that no Connect or Adopt has claimed. Once, after restore.
// Bindings are gone when it returns; the slow rest goes on in the background.
func (s *Service) Settle(ctx context.Context) error {
	claimed := map[string]bool{}
	s.mu.Lock()
	for _, c := range s.connected {
		claimed[c.sandbox.Key] = true
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
func (s *Service) withdrawUnclaimed(ctx context.Context) error {
	var stale []firewall.Port
	for _, p := range s.before.ports {
		if !s.allocator.Held(p) {
			stale = append(stale, p)
		}
	}
	return s.publish(ctx, nil, stale)
}

// Renamed updates the names of a connected container.
func (s *Service) Renamed(_ context.Context, containerID, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.connected[containerID]; c != nil {
		c.name = name
	}
	return nil
}
