// Package firewall is what the host's packet filter does for containers: it publishes their ports, hides
// their addresses behind the host's, and keeps strangers out.
//
// What it should do is a value, Desired. A Firewall makes it so; the rules are the kernel's from then on and hold
// without this process.
package firewall

import (
	"context"
	"net/netip"
)

// Bridge is a network of containers.
type Bridge struct {
	Name       string // of the interface
	IPv4, IPv6 Family
	Isolated   bool // containers do not reach one another
	Internal   bool // nothing comes in from other interfaces, and nothing goes out
}

// Family is a bridge's part of one address family; the zero value is a bridge without it.
type Family struct {
	Subnet     netip.Prefix
	Gateway    netip.Addr // the host's address on it, which strangers may reach
	Masquerade bool       // connections to the outside have the host's address
}

// Port is a port of the host that leads to a container.
type Port struct {
	Protocol string         // tcp, udp, sctp
	Host     netip.AddrPort // an unspecified address stands for all of the host's
	To       netip.AddrPort
}

// Desired is all that the firewall does.
type Desired struct {
	Bridges  []Bridge
	Ports    []Port
	OnlyOurs bool // nothing is forwarded but what concerns the bridges
}

// Firewall is the host's packet filter. Foreign rules are never touched. Safe for concurrent use.
type Firewall interface {
	// Set replaces all of our rules in one step: packets see the old ones or the new ones.
	Set(ctx context.Context, d Desired) error
	// Add and Remove change the published ports alone. They fail, changing nothing, where the rules are not what
	// Set has left: the remedy is Set.
	Add(ctx context.Context, ports []Port) error
	Remove(ctx context.Context, ports []Port) error
	// Published lists the ports that the rules publish, those of an earlier process included.
	Published(ctx context.Context) ([]Port, error)
}

// None is the firewall of a host where we are to touch none.
type None struct{}

// Set does nothing.
func (None) Set(context.Context, Desired) error { return nil }

// Add does nothing.
func (None) Add(context.Context, []Port) error { return nil }

// Remove does nothing.
func (None) Remove(context.Context, []Port) error { return nil }

// Published has nothing to list.
func (None) Published(context.Context) ([]Port, error) { return nil, nil }
