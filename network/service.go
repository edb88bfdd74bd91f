package network

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"gantry/network/firewall"
	"gantry/network/ipam"
	"gantry/network/ports"
	"gantry/network/sandbox"

	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Service is the network controller. Safe for concurrent use.
type Service struct {
	cfg       Config
	host      *netlink.Handle
	remover   *netlink.Handle // its own socket: nobody waits behind what is being removed
	pool      *sandbox.Pool
	firewall  firewall.Firewall
	allocator *ports.Allocator
	ipv6      bool // the host has IPv6
	isolate   bool // containers are kept from one another by the bridge, not by the firewall
	onlyOurs  bool // the host forwards for containers alone

	bridge sandbox.Bridge // zero without a default network
	subnet *ipam.Subnet   // of bridge
	nets   map[string]*network.Network
	before leftovers

	background sync.WaitGroup // what Disconnect leaves to be done

	rules sync.Mutex // one change of the firewall at a time, in the order of published

	mu        sync.Mutex // guards what follows
	connected map[string]*connection
	published map[place]netip.AddrPort // what the firewall publishes, and where it leads
}

// place is a port of the host.
type place struct {
	protocol string
	at       netip.AddrPort
}

func placeOf(p firewall.Port) place { return place{p.Protocol, p.Host} }

// leftovers are what was there when the service was opened, of containers that run on or that are gone.
type leftovers struct {
	keys  []string // of sandboxes
	ports []firewall.Port
}

// connection is a container with its sandbox. One without a network is still being made.
type connection struct {
	id, name string
	network  string
	sandbox  Sandbox
	veth     string // of the host; "" for none
	address  netip.Addr
	bindings []*ports.Binding
}

// Open brings the default networks and the firewall into being and removes what a crash left behind,
// except the sandboxes of the containers that Adopt is going to claim: see Settle.
func Open(ctx context.Context, cfg Config) (_ *Service, err error) {
	s := &Service{
		cfg: cfg, firewall: &firewall.NFTables{}, allocator: ports.New(!cfg.NoProxy || cfg.NoFirewall),
		connected: map[string]*connection{}, published: map[place]netip.AddrPort{},
	}
	if cfg.NoFirewall {
		s.firewall = firewall.None{}
	}
	if s.cfg.Resolver == nil {
		s.cfg.Resolver = noResolver{}
	}
	if s.cfg.MTU == 0 {
		s.cfg.MTU = 1500
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		s.ipv6 = true
	}
	dir := filepath.Join(cfg.ExecRoot, "netns")
	if s.before.keys, err = sandbox.Keys(dir); err != nil {
		return nil, err
	}
	if s.host, err = netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER); err != nil {
		return nil, err
	}
	if s.remover, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		s.host.Close()
		return nil, err
	}
	defer func() {
		if err != nil {
			s.closeHandles()
		}
	}()
	if err := s.openNetworks(); err != nil {
		return nil, err
	}
	if s.cfg.NoICC {
		s.isolate = !filterBridged()
	}
	if err := s.openRules(ctx); err != nil {
		return nil, err
	}
	if s.pool, err = sandbox.NewPool(dir); err != nil {
		return nil, err
	}
	return s, nil
}

// Close leaves sandboxes of running containers as they are. It waits for what Disconnect has left to be done. Idempotent.
func (s *Service) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.background.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	all := s.connected
	s.connected = map[string]*connection{}
	s.mu.Unlock()
	var errs []error
	for _, c := range all {
		errs = append(errs, s.allocator.Release(c.bindings)) // the sockets; the rules go on
	}
	errs = append(errs, s.pool.Close())
	s.closeHandles()
	return errors.Join(errs...)
}

func (s *Service) closeHandles() {
	s.host.Close()
	s.remover.Close()
}
