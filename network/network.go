// Package network connects containers: networks, their endpoints, addresses and published ports.
//
// A network is what containers join. An endpoint is one container in one network. A
// sandbox is the network namespace of a container, with all of its endpoints. A
// binding is a container's port at an address of the host.
package network

import (
	"net/netip"

	"gantry/events"

	"github.com/moby/moby/api/types/network"
)

// Config says where and how. Zero values are Docker's defaults.
type Config struct {
	Root     string // data root; the room's own is Root/network
	ExecRoot string // network namespaces are bound under ExecRoot/netns
	Events   *events.Journal
	Resolver Resolver // nil for none: containers ask the host's servers

	Bridge          string       // name of the default bridge, "" for docker0, "none" for no default network
	BridgeIP        netip.Prefix // --bip
	FixedCIDR       netip.Prefix
	DefaultGateway  netip.Addr
	IPv6            bool // the default bridge has IPv6, too; see the next three
	BridgeIP6       netip.Prefix
	FixedCIDR6      netip.Prefix
	DefaultGateway6 netip.Addr
	DefaultOptions  map[string]map[string]string // of networks that users make, by driver
	MTU             int                          // 0 for 1500
	HostIP          netip.Addr                   // --ip: where ports are published by default; zero for all
	Pools           []Pool                       // --default-address-pool; nil for Docker's
	DNS             []netip.Addr
	DNSOptions      []string
	DNSSearch       []string
	HostGatewayIPs  []netip.Addr // what "host-gateway" in --add-host stands for; nil for the bridge's address
	NoFirewall      bool         // --iptables=false
	NoMasquerade    bool
	NoForward       bool // --ip-forward=false
	NoICC           bool
	NoProxy         bool // --userland-proxy=false
}

// Pool is a range that networks are cut from.
type Pool struct {
	Base netip.Prefix
	Size int // prefix length of each network
}

// Request is a container that wants to be connected.
type Request struct {
	ContainerID string
	Name        string // without the leading slash
	Hostname    string
	Domainname  string
	// Mode is HostConfig.NetworkMode: "bridge", "default", "host", "none" or a network's name or ID.
	// container:ID never comes here: such a container shares its neighbour's sandbox.
	Mode      string
	Endpoints map[string]*network.EndpointSettings // wanted, by network name or ID; nil for Mode alone
	Exposed   network.PortSet
	Ports     network.PortMap // wanted bindings
	Publish   bool            // all exposed ports (-P)
	DNS       []netip.Addr
	DNSOption []string
	DNSSearch []string
	Hosts     []string // --add-host, NAME:IP
	Dir       string   // hosts, resolv.conf and hostname are written here
}

// Sandbox is a connected container.
type Sandbox struct {
	ID        string
	Key       string                               // path of the network namespace
	Endpoints map[string]*network.EndpointSettings // by network name
	Ports     network.PortMap                      // as bound, ephemeral ports filled in
}
