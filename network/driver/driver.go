// Package driver says what a network driver is. Each is a folder beside this file.
//
// A driver knows how networks of one kind are made of the kernel's parts. What all kinds have in common, addresses,
// names, routes, published ports and records, is not its business.
package driver

import (
	"context"
	"net"
	"net/netip"

	"gantry/network/sandbox"
)

// Network is a network as its driver sees it. It is not changed once it has been created.
type Network struct {
	ID, Name   string
	Options    map[string]string
	Internal   bool
	IPv4, IPv6 bool
	Subnets    []Subnet // those of IPv4 first
}

// Subnet is one of a network's ranges of addresses.
type Subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr // the host's own address, where there is one; not valid for none
	Router  netip.Addr // where endpoints send what leaves the network, if not to Gateway
}

// Endpoint is a container's place in a network.
type Endpoint struct {
	ID        string           // 64 hexadecimal digits
	Interface string           // its name in the container
	MAC       net.HardwareAddr // nil where the driver's interfaces have none of their own
	Addresses []netip.Prefix
}

// Driver makes the networks of one kind. Safe for concurrent use; for one network or endpoint, one call at a time.
type Driver interface {
	// Check refuses a network that Create cannot make. It changes nothing. Errors: invalid argument, permission denied.
	Check(n *Network) error
	// Create brings what the host needs into being. Idempotent: also called for networks that are there, when the room opens.
	Create(ctx context.Context, n *Network) error
	// Remove takes it away. What is gone is not an error.
	Remove(ctx context.Context, n *Network) error
	// Join puts the endpoint's interface into a namespace, down and without addresses. Nothing is left when it fails.
	Join(ctx context.Context, n *Network, e *Endpoint, ns *sandbox.Namespace) error
	// Leave removes the interface; ns is nil when its namespace is gone, or about to go. An endpoint that comes from a record may have no name of
	// its interface. What is gone is not an error. It may take its time.
	Leave(ctx context.Context, n *Network, e *Endpoint, ns *sandbox.Namespace) error
	// Route is how an endpoint with an address of this subnet leaves the network; zero for not at all.
	Route(n *Network, s Subnet) sandbox.Default
	// Traits say how the rest of the room treats the networks.
	Traits() Traits
}

// Settler is a driver that has something to do when an endpoint's interface is up.
type Settler interface {
	Settle(n *Network, e *Endpoint) error
}

// Sweeper is a driver that removes from the host what networks have left that are not among those known: their making or removal was
// interrupted. It is asked once all others have been created.
type Sweeper interface {
	Sweep(known []*Network) error
}

// Traits are what drivers differ in beyond how they make an interface.
type Traits struct {
	Addresses bool // containers have addresses of the network
	Publish   bool // ports can be published through the host
	Single    bool // there is one network of this kind, which users neither make nor remove
	// Prefix is how interfaces are called by default, before their number.
	Prefix string
	// Gateway says that a subnet has a gateway on the host even if nobody asked for one.
	Gateway bool
	// OwnMAC says that each interface has an address of its own.
	OwnMAC bool
	// Subnets is how many subnets of one family a network may have; 0 for any number.
	Subnets int
}

// Option names that several drivers know.
const (
	MTU         = "com.docker.network.driver.mtu"
	IfacePrefix = "com.docker.network.container_iface_prefix"
)
