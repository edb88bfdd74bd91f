package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gantry/network/driver"
	"gantry/network/ipam"
	"gantry/network/store"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// lan is a network as this room has it. Only what is below the line changes once it is among the networks.
type lan struct {
	record  store.Record
	driver  driver.Driver // nil for one that holds a configuration only
	traits  driver.Traits
	conf    *driver.Network
	subnets []subnet // IPv4 first
	builtin bool     // bridge, host, none

	users int  // containers in it, those included that are about to be; guarded by Service.mu
	gone  bool // it is being removed; guarded by Service.mu
}

// subnet is one of a network's ranges of addresses.
type subnet struct {
	driver.Subnet
	addresses *ipam.Subnet
	asked     bool // the user chose it
}

// newLAN makes the network of a record whose subnets have been settled. Errors: invalid argument.
func newLAN(r store.Record, d driver.Driver) (*lan, error) {
	l := &lan{record: r, driver: d, conf: &driver.Network{
		ID: r.ID, Name: r.Name, Options: r.Options, Internal: r.Internal, IPv4: r.IPv4, IPv6: r.IPv6,
	}}
	if d == nil {
		return l, nil
	}
	l.traits = d.Traits()
	for _, p := range r.Given {
		reserved := make([]netip.Addr, 0, len(p.Aux)+1)
		for _, a := range p.Aux {
			reserved = append(reserved, a)
		}
		if p.Gateway.IsValid() {
			reserved = append(reserved, p.Gateway)
		}
		addresses, err := ipam.New(p.Subnet, p.Range, reserved...)
		if err != nil {
			return nil, err
		}
		s := subnet{Subnet: driver.Subnet{Prefix: p.Subnet.Masked(), Gateway: p.Gateway}, addresses: addresses}
		s.Router = p.Aux[routerOf(p.Subnet)]
		s.asked = slices.ContainsFunc(r.Asked, func(a store.Pool) bool { return a.Subnet.IsValid() && a.Subnet.Masked() == s.Prefix })
		l.subnets = append(l.subnets, s)
		l.conf.Subnets = append(l.conf.Subnets, s.Subnet)
	}
	return l, nil
}

// routerOf is the name of an auxiliary address that bridge networks know: containers use it as their gateway.
func routerOf(subnet netip.Prefix) string {
	if subnet.Addr().Is4() {
		return "DefaultGatewayIPv4"
	}
	return "DefaultGatewayIPv6"
}

// named reports whether containers find one another by name in the network.
func (l *lan) named() bool { return !l.builtin && l.driver != nil }

// describe is the network as the API shows it.
func (l *lan) describe() network.Network {
	r := &l.record
	n := network.Network{
		Name: r.Name, ID: r.ID, Created: r.Created, Scope: "local", Driver: r.Driver, EnableIPv4: r.IPv4, EnableIPv6: r.IPv6,
		IPAM:     network.IPAM{Driver: cmp.Or(r.IPAMDriver, "default"), Options: r.IPAMOptions, Config: []network.IPAMConfig{}},
		Internal: r.Internal, Attachable: r.Attachable, ConfigOnly: r.ConfigOnly, ConfigFrom: network.ConfigReference{Network: r.ConfigFrom},
		Options: r.Options, Labels: r.Labels,
	}
	pools := r.Given
	if r.ConfigOnly {
		pools = r.Asked
	}
	for _, p := range pools {
		c := network.IPAMConfig{Subnet: p.Subnet, IPRange: p.Range, Gateway: p.Gateway}
		if len(p.Aux) > 0 {
			c.AuxAddress = p.Aux
		}
		n.IPAM.Config = append(n.IPAM.Config, c)
	}
	if n.Options == nil {
		n.Options = map[string]string{}
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	return n
}

// status counts addresses.
func (l *lan) status() *network.Status {
	out := network.SubnetStatuses{}
	for _, s := range l.subnets {
		inUse, available := s.addresses.Usage()
		out[s.Prefix] = network.SubnetStatus{IPsInUse: inUse, DynamicIPsAvailable: available}
	}
	return &network.Status{IPAM: network.IPAMStatus{Subnets: out}}
}

// find returns a network by ID, name or a prefix of an ID that no other network has.
func (s *state) find(nameOrID string) (*lan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.findLocked(nameOrID)
}

func (s *state) findLocked(nameOrID string) (*lan, error) {
	if l := s.nets[nameOrID]; l != nil {
		return l, nil
	}
	var found []*lan
	for _, l := range s.nets {
		if l.record.Name == nameOrID {
			return l, nil
		}
		if nameOrID != "" && strings.HasPrefix(l.record.ID, nameOrID) {
			found = append(found, l)
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

// use keeps a network from being removed until leave.
func (s *state) use(l *lan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.gone {
		return errdefs.ErrNotFound.WithMessage("network " + l.record.Name + " not found")
	}
	l.users++
	return nil
}

func (s *state) unuse(l *lan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
}
