// Package network connects containers: networks, their endpoints, addresses and published ports.
//
// A network is what containers join. An endpoint is one container in one network. A
// sandbox is the network namespace of a container, with all of its endpoints. A
// binding is a container's port at an address of the host.
package network

import (
	"context"
	"net/netip"

	"gantry/events"
	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Config says where and how. Zero values are Docker's defaults.
type Config struct {
	Root     string // data root; the room's own is Root/network
	ExecRoot string // network namespaces are bound under ExecRoot/netns
	Events   *events.Journal

	Bridge         string       // name of the default bridge, "" for docker0, "none" for no default network
	BridgeIP       netip.Prefix // --bip
	FixedCIDR      netip.Prefix
	DefaultGateway netip.Addr
	MTU            int        // 0 for 1500
	HostIP         netip.Addr // --ip: where ports are published by default; zero for all
	Pools          []Pool     // --default-address-pool; nil for Docker's
	DNS            []netip.Addr
	DNSOptions     []string
	DNSSearch      []string
	HostGatewayIPs []netip.Addr // what "host-gateway" in --add-host stands for; nil for the bridge's address
	NoFirewall     bool         // --iptables=false
	NoMasquerade   bool
	NoForward      bool // --ip-forward=false
	NoICC          bool
	NoProxy        bool // --userland-proxy=false
}

// Pool is a range that networks are cut from.
type Pool struct {
	Base netip.Prefix
	Size int // prefix length of each network
}

// Service is the network controller. Safe for concurrent use.
type Service struct{}

// Open brings the default networks and the firewall into being and removes what a crash left behind,
// except the sandboxes of the containers that Adopt is going to claim: see Settle.
func Open(ctx context.Context, cfg Config) (*Service, error) { return nil, errdefs.ErrNotImplemented }

// Close leaves sandboxes of running containers as they are.
func (s *Service) Close(context.Context) error { return nil }

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

// Check reports what Connect would refuse, without changing anything: unknown networks, an address outside its
// network. Errors: not found ("network web not found"), invalid argument.
func (s *Service) Check(ctx context.Context, r Request) error { return errdefs.ErrNotImplemented }

// Connect makes the sandbox, its endpoints and bindings, and writes the files in Dir. Errors: as Check, and
// "Bind for 0.0.0.0:80 failed: port is already allocated". Nothing is left when it fails.
func (s *Service) Connect(ctx context.Context, r Request) (*Sandbox, error) {
	return nil, errdefs.ErrNotImplemented
}

// Adopt takes over the sandbox of a container that ran on while there was no daemon.
func (s *Service) Adopt(ctx context.Context, r Request, sb Sandbox) error {
	return errdefs.ErrNotImplemented
}

// Settle removes the sandboxes, endpoints and bindings that no Connect or Adopt has claimed. Once, after restore.
func (s *Service) Settle(ctx context.Context) error { return errdefs.ErrNotImplemented }

// Disconnect takes a container's sandbox down. Ports and addresses are free when it returns; the slow
// rest (veths) goes on in the background. One that is not connected is not an error.
func (s *Service) Disconnect(ctx context.Context, containerID string) error {
	return errdefs.ErrNotImplemented
}

// Renamed updates the names of a connected container.
func (s *Service) Renamed(ctx context.Context, containerID, name string) error {
	return errdefs.ErrNotImplemented
}

// List and Inspect serve the read-only part of the network API.
func (s *Service) List(ctx context.Context, f filter.Args) ([]network.Inspect, error) {
	return nil, errdefs.ErrNotImplemented
}
func (s *Service) Inspect(ctx context.Context, nameOrID string) (*network.Inspect, error) {
	return nil, errdefs.ErrNotImplemented
}
