package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"gantry/internal/fault"
	"gantry/internal/undo"
	"gantry/network/files"
	"gantry/network/firewall"
	"gantry/network/ports"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// Connect makes the sandbox, its endpoints and bindings, and writes the files in Dir. Errors: as Check, and
// "Bind for 0.0.0.0:80 failed: port is already allocated". Nothing is left when it fails.
func (s *Service) Connect(ctx context.Context, r Request) (_ *Sandbox, err error) {
	n, wanted, err := s.resolve(r)
	if err != nil {
		return nil, err
	}
	var u undo.Stack
	defer u.OnError(ctx, &err)
	c := &connection{id: r.ContainerID, name: r.Name, network: n.Name}
	if err := s.enter(c.id); err != nil {
		return nil, err
	}
	u.Push("forget", func(context.Context) error { s.leave(c.id); return nil })
	endpoint := wanted.Copy()
	if endpoint == nil {
		endpoint = &network.EndpointSettings{}
	}
	wantedMAC := desiredMAC(endpoint)
	clearOperational(endpoint)
	endpoint.NetworkID, endpoint.EndpointID = n.ID, sandbox.NewID()
	sb := Sandbox{ID: sandbox.NewID(), Endpoints: map[string]*network.EndpointSettings{n.Name: endpoint}, Ports: network.PortMap{}}
	if n.Name != network.NetworkHost {
		if err := s.join(ctx, c, &sb, endpoint, wantedMAC, &u); err != nil {
			return nil, err
		}
	}
	if n.Name == network.NetworkBridge {
		if err := s.bind(ctx, c, r, &sb, &u); err != nil {
			return nil, err
		}
	}
	if err := s.writeFiles(r, n.Name, endpoint.IPAddress); err != nil {
		return nil, err
	}
	c.sandbox = sb
	s.settle(c)
	s.notify(c, n, events.ActionConnect)
	fault.Point("network.connect.done")
	return &sb, nil
}

// enter takes the container's place, until settle fills it or leave gives it up.
func (s *Service) enter(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.connected[id]; c != nil {
		return errdefs.ErrConflict.WithMessage("container " + id + " is already connected to network " + c.network)
	}
	s.connected[id] = &connection{id: id}
	return nil
}

// settle puts a connection in its place. From here on, only its name changes.
func (s *Service) settle(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected[c.id] = c
}

func (s *Service) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connected, id)
}

// join gives the connection a namespace and, on the bridge, an interface in it.
func (s *Service) join(ctx context.Context, c *connection, sb *Sandbox, e *network.EndpointSettings, mac net.HardwareAddr, u *undo.Stack) error {
	ns, err := s.pool.Get()
	if err != nil {
		return err
	}
	defer ns.Release()
	u.Push("remove sandbox", func(context.Context) error { return sandbox.Remove(ns.Key) })
	sb.ID, sb.Key = ns.ID, ns.Key
	fault.Point("network.connect.sandbox")
	if c.network == network.NetworkNone {
		return nil
	}
	if c.address, err = s.subnet.Next(); err != nil {
		return err
	}
	u.Push("release address", func(context.Context) error { s.subnet.Release(c.address); return nil })
	if mac == nil {
		mac = macOf(c.address)
	}
	c.veth = "veth" + e.EndpointID[:7]
	err = ns.Add(s.host, sandbox.Interface{
		HostName: c.veth, Name: "eth0", Bridge: s.bridge.Index, MTU: s.cfg.MTU, MAC: mac,
		Address: netip.PrefixFrom(c.address, s.bridge.Address.Bits()), Gateway: s.gateway(),
		Isolated: s.isolate,
	})
	if err != nil {
		return err
	}
	u.Push("remove interface", func(context.Context) error { return sandbox.Delete(s.host, c.veth) })
	e.MacAddress, e.IPAddress, e.IPPrefixLen, e.Gateway = network.HardwareAddr(mac), c.address, s.bridge.Address.Bits(), s.gateway()
	fault.Point("network.connect.interface")
	return nil
}

// bind publishes the container's ports.
func (s *Service) bind(ctx context.Context, c *connection, r Request, sb *Sandbox, u *undo.Stack) error {
	wishes, err := s.wishes(r)
	if err != nil {
		return err
	}
	u.Push("release ports", func(context.Context) error { return s.allocator.Release(c.bindings) })
	for _, w := range wishes {
		bound, err := s.allocator.Bind(ctx, w, c.address)
		if err != nil {
			e := sb.Endpoints[c.network]
			return fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w", r.Name, e.EndpointID, err)
		}
		c.bindings = append(c.bindings, bound...)
	}
	sb.Ports = portMap(r, c.bindings)
	add := rulesOf(c.bindings)
	u.Push("withdraw ports", func(ctx context.Context) error { return s.publish(ctx, nil, add) })
	if err := s.publish(ctx, add, nil); err != nil {
		return err
	}
	s.forgetFlows(add)
	return nil
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

func (s *Service) writeFiles(r Request, mode string, address netip.Addr) error {
	if r.Dir == "" {
		return nil
	}
	c := files.Content{
		Hostname: r.Hostname, Domainname: r.Domainname, Address: address, Hosts: r.Hosts, Gateways: s.cfg.HostGatewayIPs,
		DNS: r.DNS, Search: r.DNSSearch, Options: r.DNSOption, FromHost: mode == network.NetworkHost,
	}
	if len(c.Gateways) == 0 && s.bridge.Address.IsValid() {
		c.Gateways = []netip.Addr{s.bridge.Address.Addr()}
	}
	if len(c.DNS) == 0 {
		c.DNS = s.cfg.DNS
	}
	if len(c.Search) == 0 {
		c.Search = s.cfg.DNSSearch
	}
	if len(c.Options) == 0 {
		c.Options = s.cfg.DNSOptions
	}
	return files.Write(r.Dir, c)
}

func (s *Service) notify(c *connection, n *network.Network, action events.Action) {
	if s.cfg.Events != nil {
		s.cfg.Events.Publish(events.NetworkEventType, action, events.Actor{
			ID: n.ID, Attributes: map[string]string{"container": c.id, "name": n.Name, "type": n.Driver},
		})
	}
}

// macOf is how dockerd always made addresses: containers that come back with their address keep their MAC.
func macOf(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}

// desiredMAC is what the user asked for. Settings that come from an earlier connection have the address that was made then,
// which is nobody's wish.
func desiredMAC(e *network.EndpointSettings) net.HardwareAddr {
	mac := net.HardwareAddr(e.MacAddress)
	if len(mac) == 0 || e.IPAddress.Is4() && slices.Equal(mac, macOf(e.IPAddress)) {
		return nil
	}
	return mac
}

// clearOperational keeps what the user configures.
func clearOperational(e *network.EndpointSettings) {
	e.NetworkID, e.EndpointID, e.IPPrefixLen, e.GlobalIPv6PrefixLen = "", "", 0, 0
	e.Gateway, e.IPAddress, e.IPv6Gateway, e.GlobalIPv6Address = netip.Addr{}, netip.Addr{}, netip.Addr{}, netip.Addr{}
	e.MacAddress, e.DNSNames = nil, nil
}
