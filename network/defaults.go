package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"gantry/network/driver"
	"gantry/network/driver/bridge"
	"gantry/network/sandbox"
	"gantry/network/store"

	"github.com/moby/moby/api/types/network"
)

// openNetworks brings all networks into being: the default ones, and those that the store knows of.
func (s *maker) openNetworks(ctx context.Context) error {
	records, err := s.store.Load()
	if err != nil {
		return err
	}
	s.nets = map[string]*lan{}
	if err := s.openDefaults(ctx, records); err != nil {
		return err
	}
	for _, r := range records {
		if isDefault(r.Name) {
			continue
		}
		if err := s.open(ctx, r, false); err != nil {
			// The others go on, and it can be removed.
			slog.Error("network cannot be brought into being", "network", r.Name, "id", r.ID, "err", err)
		}
	}
	return s.sweep()
}

// open brings the network of a record into being. One that cannot be is there all the same, if anything can be made of its record.
func (s *maker) open(ctx context.Context, r store.Record, builtin bool) error {
	d := s.drivers[r.Driver]
	if d == nil && !r.ConfigOnly {
		return fmt.Errorf("no driver %q", r.Driver)
	}
	l, err := newLAN(r, d)
	if err != nil {
		return err
	}
	l.builtin = builtin
	s.nets[r.ID] = l
	if d == nil {
		return nil
	}
	return d.Create(ctx, l.conf)
}

// isDefault reports whether a name is that of a default network.
func isDefault(name string) bool {
	return name == network.NetworkBridge || name == network.NetworkHost || name == network.NetworkNone
}

// openDefaults opens bridge, host and none. They keep the IDs that they have.
func (s *maker) openDefaults(ctx context.Context, records []store.Record) error {
	drivers := map[string]string{network.NetworkHost: "host", network.NetworkNone: "null"}
	if s.cfg.Bridge != "none" {
		drivers[network.NetworkBridge] = "bridge"
	}
	var made []store.Record
	for name, kind := range drivers {
		i := slices.IndexFunc(records, func(r store.Record) bool { return r.Name == name && r.Driver == kind })
		r := store.New(name, kind)
		if i >= 0 {
			r = records[i]
		}
		if name == network.NetworkBridge {
			if err := s.defaultBridge(&r); err != nil {
				return err
			}
		} else {
			r.Options, r.IPv4 = map[string]string{}, true
		}
		if err := s.open(ctx, r, true); err != nil {
			return fmt.Errorf(`error creating default "%s" network: %w`, name, err)
		}
		if i < 0 {
			made = append(made, r)
		}
		if name == network.NetworkBridge {
			b, _, err := sandbox.FindBridge(s.host, r.Options[bridge.OptName])
			if err != nil {
				return err
			}
			s.bridge = b
		}
	}
	if len(made) == 0 {
		return nil
	}
	return s.store.Put(made...)
}

// defaultBridge settles what the options of the daemon say of the default bridge.
func (s *maker) defaultBridge(r *store.Record) error {
	name := cmp.Or(s.cfg.Bridge, "docker0")
	found, exists, err := sandbox.FindBridge(s.host, name)
	if err != nil {
		return err
	}
	if !exists && s.cfg.Bridge != "" && s.cfg.Bridge != "docker0" {
		return fmt.Errorf(`error creating default "bridge" network: bridge device with non default name %s must be created manually`, name)
	}
	r.Driver, r.IPv4, r.IPv6, r.Internal = "bridge", true, s.cfg.IPv6, false
	r.Options = map[string]string{
		bridge.OptDefault: "true", bridge.OptICC: fmt.Sprint(!s.cfg.NoICC), bridge.OptMasquerade: fmt.Sprint(!s.cfg.NoMasquerade),
		bridge.OptBinding: s.hostBinding(), bridge.OptName: name, driver.MTU: fmt.Sprint(s.cfg.MTU),
	}
	r.Asked, r.Given = nil, nil
	v4, err := s.defaultPool(found, true)
	if err != nil {
		return err
	}
	r.Given = []store.Pool{v4}
	if s.cfg.IPv6 {
		v6, err := s.defaultPool(found, false)
		if err != nil {
			return err
		}
		r.Given = append(r.Given, v6)
	}
	for _, p := range r.Given {
		s.hostAddresses = append(s.hostAddresses, p.Gateway)
	}
	return nil
}

// defaultPool chooses a subnet of the default bridge, and the bridge's address in it: that of the options, that which a bridge of
// this name has, or the first of the pools that is free. The containers' gateway may be another one: see routerOf.
func (s *maker) defaultPool(found sandbox.Bridge, v4 bool) (store.Pool, error) {
	address, within := s.cfg.BridgeIP, s.cfg.FixedCIDR
	if !v4 {
		address, within = s.cfg.BridgeIP6, s.cfg.FixedCIDR6
	}
	i := slices.IndexFunc(found.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == v4 })
	switch {
	case address.IsValid():
	case i >= 0 && (v4 || !within.IsValid() || within.Contains(found.Addresses[i].Addr())):
		address = found.Addresses[i]
	case !v4 && within.IsValid(): // there is nothing else that says which network it is
		address = netip.PrefixFrom(within.Masked().Addr().Next(), within.Bits())
	default:
		free, err := s.freeSubnet(s.pools(v4, true), 0, found.Index, nil)
		if err != nil {
			return store.Pool{}, err
		}
		address = netip.PrefixFrom(free.Addr().Next(), free.Bits())
	}
	if within.IsValid() && (within.Bits() < address.Bits() || !address.Contains(within.Addr())) {
		within = netip.Prefix{}
	}
	p := store.Pool{Subnet: address.Masked(), Range: within, Gateway: address.Addr()}
	router := s.cfg.DefaultGateway
	if !v4 {
		router = s.cfg.DefaultGateway6
	}
	if router.IsValid() && router != p.Gateway {
		p.Aux = map[string]netip.Addr{routerOf(p.Subnet): router}
	}
	return p, nil
}

func (s *maker) hostBinding() string {
	if s.cfg.HostIP.IsValid() {
		return s.cfg.HostIP.String()
	}
	return "0.0.0.0"
}

// sweep removes what networks have left on the host that are gone.
func (s *maker) sweep() error {
	var known []*driver.Network
	for _, l := range s.nets {
		known = append(known, l.conf)
	}
	var errs []error
	for _, d := range s.drivers {
		if sweeper, ok := d.(driver.Sweeper); ok {
			errs = append(errs, sweeper.Sweep(known))
		}
	}
	return errors.Join(errs...)
}
