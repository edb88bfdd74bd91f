package network

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"

	"gantry/internal/fault"
	"gantry/internal/undo"
	"gantry/network/driver"
	"gantry/network/ipam"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Driver options of an endpoint that hold for every driver.
const (
	optInterface = "com.docker.network.endpoint.ifname"
	optSysctls   = "com.docker.network.endpoint.sysctls"
)

// endpoint is a container in a network. It is not changed once it is part of a connection.
type endpoint struct {
	lan      *lan
	settings *network.EndpointSettings
	link     driver.Endpoint
	held     []held
	route4   sandbox.Default
	route6   sandbox.Default
}

// held is an address that has to be given back.
type held struct {
	from *ipam.Subnet
	addr netip.Addr
}

func (e *endpoint) releaseAddresses() {
	for _, h := range e.held {
		h.from.Release(h.addr)
	}
}

// draftEndpoint settles what an endpoint is to have; its addresses are taken. names are those of the container in the network.
func draftEndpoint(w want, names []string) (_ *endpoint, err error) {
	e := &endpoint{lan: w.lan, settings: w.settings}
	defer func() {
		if err != nil {
			e.releaseAddresses()
		}
	}()
	s := e.settings
	s.NetworkID, s.EndpointID = w.lan.record.ID, cmp.Or(w.id, sandbox.NewID())
	e.link.ID = s.EndpointID
	if w.lan.named() {
		s.DNSNames = dnsNames(names, s.Aliases)
	}
	if !w.lan.traits.Addresses {
		return e, nil
	}
	config := cmp.Or(s.IPAMConfig, &network.EndpointIPAMConfig{})
	if w.lan.record.IPv4 {
		p, sub, err := e.take(config.IPv4Address, true)
		if err != nil {
			return nil, err
		}
		s.IPAddress, s.IPPrefixLen = p.Addr(), max(p.Bits(), 0)
		e.route4 = w.lan.driver.Route(w.lan.conf, sub)
		s.Gateway = e.route4.Via
	}
	if w.lan.record.IPv6 {
		p, sub, err := e.take(config.IPv6Address, false)
		if err != nil {
			return nil, err
		}
		s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = p.Addr(), max(p.Bits(), 0)
		e.route6 = w.lan.driver.Route(w.lan.conf, sub)
		s.IPv6Gateway = e.route6.Via
	}
	for _, a := range config.LinkLocalIPs {
		bits := 16 // RFC 3927
		if a.Is6() {
			bits = 64 // RFC 4291
		}
		e.link.Addresses = append(e.link.Addresses, netip.PrefixFrom(a, bits))
	}
	if !w.lan.traits.OwnMAC {
		return e, nil
	}
	switch {
	case len(w.mac) > 0:
		e.link.MAC = net.HardwareAddr(w.mac)
	case s.IPAddress.IsValid():
		e.link.MAC = macOf(s.IPAddress)
	default:
		e.link.MAC = sandbox.RandomMAC()
	}
	s.MacAddress = network.HardwareAddr(e.link.MAC)
	return e, nil
}

// take takes an address of a family, a certain one if it is valid. A network without subnets has none to give.
func (e *endpoint) take(wish netip.Addr, v4 bool) (netip.Prefix, driver.Subnet, error) {
	var last error
	for _, s := range e.lan.subnets {
		if s.Prefix.Addr().Is4() != v4 || wish.IsValid() && !s.Prefix.Contains(wish) {
			continue
		}
		a := wish
		if last = s.claim(&a); last != nil {
			if wish.IsValid() {
				break
			}
			continue // the next one may have one
		}
		e.held = append(e.held, held{s.addresses, a})
		p := netip.PrefixFrom(a, s.Prefix.Bits())
		e.link.Addresses = append(e.link.Addresses, p)
		return p, s.Subnet, nil
	}
	return netip.Prefix{}, driver.Subnet{}, last
}

// claim takes the address, or the next one if it is not valid.
func (s subnet) claim(a *netip.Addr) (err error) {
	if !a.IsValid() {
		*a, err = s.addresses.Next()
		return err
	}
	if err := s.addresses.Claim(*a); errdefs.IsConflict(err) {
		return errdefs.ErrPermissionDenied.WithMessage("Address already in use")
	} else if err != nil {
		return err
	}
	return nil
}

// plug makes the endpoint's interface in a namespace. taken are the names that other interfaces there have. Default routes are set if
// this endpoint is the way out.
func (s *connector) plug(ctx context.Context, e *endpoint, ns *sandbox.Namespace, taken []string, way4, way6 bool, u *undo.Stack) error {
	l := e.lan
	if !l.traits.Addresses {
		return nil
	}
	prefix := cmp.Or(l.record.Options[driver.IfacePrefix], l.traits.Prefix)
	e.link.Interface = e.settings.DriverOpts[optInterface]
	if slices.Contains(taken, e.link.Interface) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("interface name %q is already in use in the container", e.link.Interface))
	}
	for i := 0; e.link.Interface == ""; i++ {
		if name := fmt.Sprint(prefix, i); !slices.Contains(taken, name) {
			e.link.Interface = name
		}
	}
	sysctls, err := sysctlsOf(e.settings)
	if err != nil {
		return err
	}
	if err := l.driver.Join(ctx, l.conf, &e.link, ns); err != nil {
		return err
	}
	u.Push("remove interface", func(ctx context.Context) error { return l.driver.Leave(ctx, l.conf, &e.link, ns) })
	i := sandbox.Interface{Name: e.link.Interface, Addresses: e.link.Addresses, Sysctls: sysctls}
	if way4 {
		i.Default4 = e.route4
	}
	if way6 {
		i.Default6 = e.route6
	}
	if err := ns.Configure(i); err != nil {
		return err
	}
	fault.Point("network.connect.interface")
	if settler, ok := l.driver.(driver.Settler); ok {
		return settler.Settle(l.conf, &e.link)
	}
	return nil
}

// unplug removes an endpoint's interface; ns is nil where its namespace is gone.
func (s *connector) unplug(ctx context.Context, e *endpoint, ns *sandbox.Namespace) {
	if err := e.lan.driver.Leave(ctx, e.lan.conf, &e.link, ns); err != nil {
		slog.Warn("cannot remove interface", "network", e.lan.record.Name, "endpoint", e.link.ID, "err", err)
	}
}

// wayOut chooses the endpoint by which packets of a family leave: that of the highest priority, then the first by name of those
// that lead anywhere. -1 for none.
func wayOut(all []*endpoint, v4 bool) int {
	best := -1
	for i, e := range all {
		if d := e.route(v4); !d.Via.IsValid() && !d.Direct {
			continue
		}
		if best < 0 || e.before(all[best]) {
			best = i
		}
	}
	return best
}

func (e *endpoint) route(v4 bool) sandbox.Default {
	if v4 {
		return e.route4
	}
	return e.route6
}

func (e *endpoint) before(other *endpoint) bool {
	return cmp.Or(cmp.Compare(other.settings.GwPriority, e.settings.GwPriority), strings.Compare(e.lan.record.Name, other.lan.record.Name)) < 0
}

// sysctlsOf reads the settings of the interface that the user wants. Errors: invalid argument.
func sysctlsOf(e *network.EndpointSettings) ([]sandbox.Sysctl, error) {
	var out []sandbox.Sysctl
	for setting := range strings.SplitSeq(e.DriverOpts[optSysctls], ",") {
		if setting == "" {
			continue
		}
		key, value, ok := strings.Cut(setting, "=")
		parts := strings.SplitN(key, ".", 5)
		// The CLI writes keys in lower case.
		if !ok || len(parts) != 5 || parts[0] != "net" || !slices.Contains([]string{"ipv4", "ipv6", "mpls"}, parts[1]) ||
			!strings.EqualFold(parts[3], "IFNAME") || strings.ContainsAny(key, "/") {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
				"unrecognised network interface sysctl '%s'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'", setting))
		}
		parts[3] = "IFNAME"
		parts[4] = strings.ReplaceAll(parts[4], ".", "/")
		out = append(out, sandbox.Sysctl{Key: strings.Join(parts, "/"), Value: value})
	}
	return out, nil
}

// macOf is how dockerd always made addresses: containers that come back with their address keep their MAC.
func macOf(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}
