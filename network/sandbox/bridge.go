package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bridge is a bridge of the host.
type Bridge struct {
	Name    string
	Index   int
	Address netip.Prefix // the host's address on it
}

// FindBridge returns a bridge that is there, with its first IPv4 address if it has one. ok is false if it is not there.
func FindBridge(host *netlink.Handle, name string) (b Bridge, ok bool, err error) {
	link, err := host.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return Bridge{}, false, nil
	} else if err != nil {
		return Bridge{}, false, err
	}
	if link.Type() != "bridge" {
		return Bridge{}, false, fmt.Errorf("existing interface %s is not a bridge", name)
	}
	b = Bridge{Name: name, Index: link.Attrs().Index}
	addrs, err := host.AddrList(link, unix.AF_INET)
	if err != nil || len(addrs) == 0 {
		return b, true, err
	}
	b.Address = prefixOf(addrs[0].IPNet)
	return b, true, nil
}

// EnsureBridge brings the bridge into being, up and with the address as its only IPv4 address.
func EnsureBridge(host *netlink.Handle, name string, address netip.Prefix, mtu int) (Bridge, error) {
	link, err := host.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		attrs := netlink.NewLinkAttrs()
		// An address of its own: without one, the bridge's changes as ports come and go.
		attrs.Name, attrs.MTU, attrs.HardwareAddr = name, mtu, randomMAC()
		if err := host.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return Bridge{}, fmt.Errorf("add bridge %s: %w", name, err)
		}
		link, err = host.LinkByName(name)
	}
	if err != nil {
		return Bridge{}, fmt.Errorf("bridge %s: %w", name, err)
	}
	if link.Type() != "bridge" {
		return Bridge{}, fmt.Errorf("existing interface %s is not a bridge", name)
	}
	if err := setAddress(host, link, address); err != nil {
		return Bridge{}, fmt.Errorf("address of bridge %s: %w", name, err)
	}
	if err := host.LinkSetUp(link); err != nil {
		return Bridge{}, fmt.Errorf("bridge %s: %w", name, err)
	}
	return Bridge{Name: name, Index: link.Attrs().Index, Address: address}, nil
}

func setAddress(host *netlink.Handle, link netlink.Link, want netip.Prefix) error {
	addrs, err := host.AddrList(link, unix.AF_INET)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if prefixOf(a.IPNet) == want {
			return nil
		}
		if err := host.AddrDel(link, &a); err != nil {
			return err
		}
	}
	return host.AddrAdd(link, &netlink.Addr{IPNet: ipNet(want)})
}

// Route is one of the host's routes to somewhere.
type Route struct {
	To        netip.Prefix
	ByGateway bool
}

// Routes lists the host's IPv4 routes other than the default one and those by the interface with the index except.
func Routes(host *netlink.Handle, except int) ([]Route, error) {
	routes, err := host.RouteList(nil, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []Route
	for _, r := range routes {
		if r.Dst == nil || except != 0 && r.LinkIndex == except {
			continue
		}
		if to := prefixOf(r.Dst); to.Bits() > 0 {
			out = append(out, Route{To: to, ByGateway: r.Gw != nil || r.Via != nil || len(r.MultiPath) > 0})
		}
	}
	return out, nil
}

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones)
}

func randomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	_, _ = rand.Read(mac)
	mac[0] = mac[0]&^1 | 2 // unicast, locally administered
	return mac
}
