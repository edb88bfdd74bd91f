package network

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"gantry/network/driver"
	"gantry/network/driver/bridge"
	"gantry/network/driver/host"
	"gantry/network/driver/ipvlan"
	"gantry/network/driver/macvlan"
	"gantry/network/driver/null"
	"gantry/network/firewall"
	"gantry/network/ports"
	"gantry/network/sandbox"
	"gantry/network/store"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Service is the network controller, put together of one type for each part of its work. Safe for concurrent use.
type Service struct {
	*state
	*maker
	*connector
	*attacher
	*adopter
	*namer
	*ruler
}

// state is the networks and who is in them. Every part of the service stands on it.
type state struct {
	cfg      Config
	host     *netlink.Handle
	remover  *netlink.Handle // its own socket: nobody waits behind what is being removed
	ipv6     bool            // the host has IPv6
	onlyOurs bool            // the host forwards for containers alone

	drivers       map[string]driver.Driver
	store         *store.Store
	bridge        sandbox.Bridge // of the default network; zero without one
	hostAddresses []netip.Addr   // the host's on the default bridge
	before        leftovers

	background sync.WaitGroup // what Disconnect leaves to be done

	mu        sync.Mutex      // guards what follows, and what is said to be guarded by it
	nets      map[string]*lan // by ID
	connected map[string]*connection
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

// Open brings the default networks and the firewall into being and removes what a crash left behind,
// except the sandboxes of the containers that Adopt is going to claim: see Settle.
func Open(ctx context.Context, cfg Config) (_ *Service, err error) {
	s := assemble(cfg)
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
	isolate := sync.OnceValue(func() bool { return !filterBridged() })
	s.drivers = map[string]driver.Driver{
		"bridge": bridge.New(s.host, s.remover, cfg.Root, isolate), "host": host.Driver{}, "null": null.Driver{},
		"macvlan": macvlan.New(s.host, cfg.Root), "ipvlan": ipvlan.New(s.host, cfg.Root),
	}
	if s.store, err = store.Open(cfg.Root); err != nil {
		return nil, err
	}
	if err := s.openNetworks(ctx); err != nil {
		return nil, err
	}
	if err := s.openRules(ctx); err != nil {
		return nil, err
	}
	if s.pool, err = sandbox.NewPool(dir); err != nil {
		return nil, err
	}
	return s, nil
}

func assemble(cfg Config) *Service {
	all := &state{cfg: cfg, connected: map[string]*connection{}}
	rules := &ruler{state: all, firewall: &firewall.NFTables{}, published: map[place]netip.AddrPort{}}
	names := &namer{state: all, unresolved: map[string]bool{}}
	joins := &connector{state: all, rules: rules, names: names, allocator: ports.New(!cfg.NoProxy || cfg.NoFirewall)}
	return &Service{
		all, &maker{state: all, rules: rules}, joins, &attacher{all, joins, rules, names}, &adopter{all, joins, rules, names}, names, rules,
	}
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
