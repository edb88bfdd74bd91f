package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// want is an endpoint that is to be.
type want struct {
	lan      *lan
	settings *network.EndpointSettings // a copy: its operational part is to be filled in
	mac      network.HardwareAddr      // that the user wishes
	id       string                    // of the endpoint, "" for a new one
}

// Check reports what Connect would refuse, without changing anything: unknown networks, an address outside its
// network. Errors: not found ("network web not found"), invalid argument.
func (s *connector) Check(_ context.Context, r Request) error {
	_, err := s.resolve(r)
	if err != nil {
		return err
	}
	_, err = s.wishes(r, netip.Addr{})
	return err
}

// Name returns the name of a network. Errors: not found.
func (s *connector) Name(_ context.Context, nameOrID string) (string, error) {
	l, err := s.find(nameOrID)
	if err != nil {
		return "", err
	}
	return l.record.Name, nil
}

// resolve finds the networks that a request is for, that of its mode first and the others by name.
func (s *connector) resolve(r Request) ([]want, error) {
	mode := r.Mode
	if mode == "" || mode == network.NetworkDefault {
		mode = network.NetworkBridge
		if s.cfg.Bridge == "none" {
			mode = network.NetworkNone
		}
	}
	first, err := s.find(mode)
	if err != nil && len(r.Endpoints) == 0 {
		return nil, err
	}
	wants := []want{newWant(first, nil)}
	if len(r.Endpoints) > 0 {
		wants[0].lan = nil // a container may have left the network of its mode
	}
	for _, name := range slices.Sorted(maps.Keys(r.Endpoints)) {
		l := first
		if name != network.NetworkDefault {
			if l, err = s.find(name); err != nil {
				return nil, err
			}
		}
		w := newWant(l, r.Endpoints[name])
		if l == first {
			wants[0] = w
		} else {
			wants = append(wants, w)
		}
	}
	if wants[0].lan == nil {
		wants = wants[1:]
		slices.SortStableFunc(wants, byName)
	}
	slices.SortStableFunc(wants[1:], byName)
	for _, w := range wants {
		if err := w.check(len(wants) > 1); err != nil {
			return nil, err
		}
	}
	return wants, nil
}

func byName(a, b want) int { return strings.Compare(a.lan.record.Name, b.lan.record.Name) }

func newWant(l *lan, e *network.EndpointSettings) want {
	e = e.Copy()
	if e == nil {
		e = &network.EndpointSettings{}
	}
	w := want{lan: l, settings: e, mac: desiredMAC(e)}
	clearOperational(e)
	return w
}

// check refuses what the network cannot give.
func (w want) check(several bool) error {
	r := &w.lan.record
	switch {
	case w.lan.driver == nil:
		return errdefs.ErrPermissionDenied.WithMessage("cannot attach to a configuration network: " + r.Name)
	case several && r.Name == network.NetworkNone:
		return errdefs.ErrInvalidArgument.WithMessage("container cannot be connected to multiple networks with one of the networks in private (none) mode")
	case several && r.Name == network.NetworkHost:
		return errdefs.ErrInvalidArgument.WithMessage("container sharing network namespace with another container or host cannot be connected to any other network")
	}
	var errs []error
	if c := w.settings.IPAMConfig; c != nil {
		if w.lan.builtin && (c.IPv4Address.IsValid() || c.IPv6Address.IsValid()) {
			errs = append(errs, errors.New("user specified IP address is supported on user defined networks only"))
		} else {
			errs = append(errs, w.checkAddress(c.IPv4Address, true), w.checkAddress(c.IPv6Address, false))
		}
		for _, a := range c.LinkLocalIPs {
			if !a.IsLinkLocalUnicast() {
				errs = append(errs, fmt.Errorf("invalid link-local IP address: %s", a))
			}
		}
	}
	if w.lan.builtin && len(w.settings.Aliases) > 0 {
		errs = append(errs, errors.New("network-scoped aliases are only supported for user-defined networks"))
	}
	if _, err := sysctlsOf(w.settings); err != nil {
		errs = append(errs, err)
	}
	if n := w.settings.DriverOpts[optInterface]; n != "" && (len(n) > 15 || strings.ContainsAny(n, "/ :\t\n") || n == "lo" || n == "." || n == "..") { // dev_valid_name, net/core/dev.c
		errs = append(errs, fmt.Errorf("invalid interface name %q", n))
	}
	if err := errors.Join(errs...); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid config for network %s: invalid endpoint settings:\n%s", r.Name, err))
	}
	return nil
}

// checkAddress refuses an address that is in none of the subnets that the user chose.
func (w want) checkAddress(a netip.Addr, v4 bool) error {
	if !a.IsValid() {
		return nil
	}
	if a.Is4() != v4 {
		return fmt.Errorf("invalid IPv%d address: %s", map[bool]int{true: 4, false: 6}[v4], a)
	}
	asked := false
	for _, s := range w.lan.subnets {
		if s.Prefix.Addr().Is4() != v4 || !s.asked {
			continue
		}
		asked = true
		if s.Prefix.Contains(a) {
			return nil
		}
	}
	if asked {
		return fmt.Errorf("no configured subnet or ip-range contain the IP address %s", a)
	}
	return errors.New("user specified IP address is supported only when connecting to networks with user configured subnets")
}

// desiredMAC is what the user asked for. Settings that come from an earlier connection have the address that was made then,
// which is nobody's wish.
func desiredMAC(e *network.EndpointSettings) network.HardwareAddr {
	if len(e.MacAddress) == 0 || e.IPAddress.Is4() && slices.Equal(e.MacAddress, network.HardwareAddr(macOf(e.IPAddress))) {
		return nil
	}
	return e.MacAddress
}

// clearOperational keeps what the user configures.
func clearOperational(e *network.EndpointSettings) {
	e.NetworkID, e.EndpointID, e.IPPrefixLen, e.GlobalIPv6PrefixLen = "", "", 0, 0
	e.Gateway, e.IPAddress, e.IPv6Gateway, e.GlobalIPv6Address = netip.Addr{}, netip.Addr{}, netip.Addr{}, netip.Addr{}
	e.MacAddress, e.DNSNames = nil, nil
}
