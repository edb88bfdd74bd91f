package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
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

// openRules puts the firewall's rules in place, with the ports of containers that have run on.
func (s *Service) openRules(ctx context.Context) error {
	if !s.cfg.NoForward && s.bridge.Name != "" {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			return fmt.Errorf("enable forwarding: %w", err)
		}
	}
	var err error
	if s.before.ports, err = s.firewall.Published(ctx); err != nil {
		return err
	}
	for _, p := range s.before.ports {
		s.published[placeOf(p)] = p.To
	}
	return s.firewall.Set(ctx, s.desired())
}

// filterBridged makes the firewall see what a bridge passes from port to port, and reports whether the kernel can do so.
func filterBridged() bool {
	return os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0) == nil
}

// desired is what the firewall is to do.
func (s *Service) desired() firewall.Desired {
	var d firewall.Desired
	if s.bridge.Name != "" {
		d.Bridges = []firewall.Bridge{{
			Name: s.bridge.Name, Subnet: s.bridge.Address.Masked(), Gateway: s.bridge.Address.Addr(),
			Masquerade: !s.cfg.NoMasquerade, Isolated: s.cfg.NoICC,
		}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, to := range s.published {
		d.Ports = append(d.Ports, firewall.Port{Protocol: p.protocol, Host: p.at, To: to})
	}
	return d
}

// publish changes which ports lead to containers. Rules that somebody has flushed are put back on the way.
func (s *Service) publish(ctx context.Context, add, remove []firewall.Port) error {
	if len(add)+len(remove) == 0 {
		return nil
	}
	s.rules.Lock()
	defer s.rules.Unlock()
	s.mu.Lock()
	// What has come to lead elsewhere meanwhile is not the caller's any more.
	remove = slices.DeleteFunc(slices.Clone(remove), func(p firewall.Port) bool { return s.published[placeOf(p)] != p.To })
	for _, p := range remove {
		delete(s.published, placeOf(p))
	}
	for _, p := range add {
		s.published[placeOf(p)] = p.To
	}
	s.mu.Unlock()
	err := s.firewall.Remove(ctx, remove)
	if err == nil {
		err = s.firewall.Add(ctx, add)
	}
	if err != nil {
		slog.Debug("firewall is not as it was left, replacing its rules", "err", err)
		return s.firewall.Set(ctx, s.desired())
	}
	return nil
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
