package network

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gantry/internal/filter"
	"gantry/network/ipam"
	"gantry/network/sandbox"
	"gantry/network/store"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// openNetworks brings the default networks into being.
func (s *Service) openNetworks() error {
	names := []string{network.NetworkHost, network.NetworkNone}
	if s.cfg.Bridge != "none" {
		names = append(names, network.NetworkBridge)
		if err := s.openBridge(); err != nil {
			return err
		}
	}
	records, err := store.Load(s.cfg.Root, names...)
	if err != nil {
		return err
	}
	s.nets = map[string]*network.Network{}
	for name, r := range records {
		n := &network.Network{
			Name: name, ID: r.ID, Created: r.Created, Scope: "local", Driver: name, EnableIPv4: true,
			IPAM:    network.IPAM{Driver: "default", Config: []network.IPAMConfig{}},
			Options: map[string]string{}, Labels: map[string]string{},
		}
		switch name {
		case network.NetworkNone:
			n.Driver = "null"
		case network.NetworkBridge:
			s.describeBridge(n)
		}
		s.nets[name] = n
	}
	return nil
}

// openBridge chooses the address of the default bridge: that of the options, that which a bridge of this name has, or the
// first of the pools that the host has no route into.
func (s *Service) openBridge() error {
	name := cmp.Or(s.cfg.Bridge, "docker0")
	found, exists, err := sandbox.FindBridge(s.host, name)
	if err != nil {
		return err
	}
	address := s.cfg.BridgeIP
	switch {
	case address.IsValid():
	case exists && found.Address.IsValid():
		address = found.Address
	default:
		if address, err = s.freeSubnet(found.Index); err != nil {
			return err
		}
	}
	if s.bridge, err = sandbox.EnsureBridge(s.host, name, address, s.cfg.MTU); err != nil {
		return err
	}
	reserved := []netip.Addr{address.Addr()}
	if s.cfg.DefaultGateway.IsValid() {
		reserved = append(reserved, s.cfg.DefaultGateway)
	}
	s.subnet, err = ipam.New(address, s.cfg.FixedCIDR, reserved...)
	return err
}

// pools are where networks are cut from, as dockerd.
func (s *Service) pools() []Pool {
	if len(s.cfg.Pools) > 0 {
		return s.cfg.Pools
	}
	pools := make([]Pool, 0, 16)
	for second := 17; second < 32; second++ {
		pools = append(pools, Pool{Base: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(second)}), 16), Size: 16})
	}
	return append(pools, Pool{Base: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168}), 16), Size: 20})
}

// freeSubnet returns the first address in the first network that the host has no route into, other than by the bridge. If
// there is none, it is the first that only wider routes by a gateway lead into, such as those of a VPN that takes
// all traffic: the bridge's own route comes before them.
func (s *Service) freeSubnet(bridge int) (netip.Prefix, error) {
	routes, err := sandbox.Routes(s.host, bridge)
	if err != nil {
		return netip.Prefix{}, err
	}
	var second netip.Prefix
	for _, p := range s.pools() {
		for subnet := range ipam.Split(p.Base, p.Size) {
			first := netip.PrefixFrom(subnet.Addr().Next(), subnet.Bits())
			switch overlap(routes, subnet) {
			case none:
				return first, nil
			case remote:
				if !second.IsValid() {
					second = first
				}
			}
		}
	}
	if !second.IsValid() {
		return second, errdefs.ErrResourceExhausted.WithMessage("all predefined address pools have been fully subnetted")
	}
	return second, nil
}

// How a network meets the host's routes.
const (
	none   = iota
	remote // what is behind wider routes by a gateway would be hidden
	taken
)

func overlap(routes []sandbox.Route, subnet netip.Prefix) int {
	worst := none
	for _, r := range routes {
		switch {
		case !r.To.Overlaps(subnet):
		case r.ByGateway && r.To.Bits() < subnet.Bits():
			worst = max(worst, remote)
		default:
			return taken
		}
	}
	return worst
}

func (s *Service) describeBridge(n *network.Network) {
	n.IPAM.Config = []network.IPAMConfig{{
		Subnet: s.bridge.Address.Masked(), IPRange: s.cfg.FixedCIDR, Gateway: s.gateway(),
	}}
	n.Options = map[string]string{
		"com.docker.network.bridge.default_bridge":       "true",
		"com.docker.network.bridge.enable_icc":           fmt.Sprint(!s.cfg.NoICC),
		"com.docker.network.bridge.enable_ip_masquerade": fmt.Sprint(!s.cfg.NoMasquerade),
		"com.docker.network.bridge.host_binding_ipv4":    s.hostBinding(),
		"com.docker.network.bridge.name":                 s.bridge.Name,
		"com.docker.network.driver.mtu":                  fmt.Sprint(s.cfg.MTU),
	}
}

func (s *Service) hostBinding() string {
	if s.cfg.HostIP.IsValid() {
		return s.cfg.HostIP.String()
	}
	return "0.0.0.0"
}

// gateway is where the containers of the default bridge send what leaves it.
func (s *Service) gateway() netip.Addr {
	if s.cfg.DefaultGateway.IsValid() {
		return s.cfg.DefaultGateway
	}
	return s.bridge.Address.Addr()
}

// find returns a network by name, ID or a prefix of an ID that no other network has.
func (s *Service) find(nameOrID string) (*network.Network, error) {
	if n := s.nets[nameOrID]; n != nil {
		return n, nil
	}
	var found []*network.Network
	for _, n := range s.nets {
		if n.ID == nameOrID {
			return n, nil
		}
		if nameOrID != "" && strings.HasPrefix(n.ID, nameOrID) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, errdefs.ErrNotFound.WithMessage("network " + nameOrID + " not found")
	case 1:
		return found[0], nil
	default:
		return nil, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("network %s is ambiguous (%d matches found on ID prefix)", nameOrID, len(found)))
	}
}

// List returns the networks that match, by name. Errors: invalid argument (an unknown filter).
func (s *Service) List(_ context.Context, f filter.Args) ([]network.Inspect, error) {
	if err := f.Validate("dangling", "driver", "id", "label", "name", "scope", "type"); err != nil {
		return nil, err
	}
	dangling, err := f.Bool("dangling", false)
	if err != nil {
		return nil, err
	}
	for _, t := range f.Get("type") {
		if t != "builtin" && t != "custom" {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter: 'type'='" + t + "'")
		}
	}
	list := []network.Inspect{}
	for _, n := range s.nets {
		if matches(f, n) && !dangling { // default networks are never dangling
			list = append(list, network.Inspect{Network: *n, Containers: map[string]network.EndpointResource{}})
		}
	}
	slices.SortFunc(list, func(a, b network.Inspect) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func matches(f filter.Args, n *network.Network) bool {
	return f.Fuzzy("name", n.Name) && f.Prefix("id", n.ID) && f.Exact("driver", n.Driver) && f.Exact("scope", n.Scope) &&
		f.Labels("label", n.Labels) && f.Exact("type", "builtin")
}

// Inspect returns a network with the containers in it. Errors: not found.
func (s *Service) Inspect(_ context.Context, nameOrID string) (*network.Inspect, error) {
	n, err := s.find(nameOrID)
	if err != nil {
		return nil, err
	}
	out := &network.Inspect{Network: *n, Containers: map[string]network.EndpointResource{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.connected {
		if c.network != n.Name {
			continue
		}
		e := c.sandbox.Endpoints[n.Name]
		r := network.EndpointResource{Name: c.name, EndpointID: e.EndpointID, MacAddress: e.MacAddress}
		if e.IPAddress.IsValid() {
			r.IPv4Address = netip.PrefixFrom(e.IPAddress, e.IPPrefixLen)
		}
		out.Containers[id] = r
	}
	return out, nil
}
