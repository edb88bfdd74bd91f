package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bridge is a bridge of the host.
type Bridge struct {
	Name      string
	Index     int
	Addresses []netip.Prefix // the host's on it, without IPv6 link-local ones
	IPv6      bool           // the host speaks IPv6 on it
	MTU       int            // 0 for the kernel's default
	Owner     string         // data root of the engine that made it; "" for a bridge of the user's
	Exclusive bool           // other addresses are taken off it
}

// owned begins the alias of the bridges that are an engine's: somebody else's are never removed. ip-link(8) shows it.
const owned = "gantry:"

// FindBridge returns a bridge that is there. ok is false if it is not there.
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
	b = Bridge{Name: name, Index: link.Attrs().Index, MTU: link.Attrs().MTU}
	if owner, ours := strings.CutPrefix(link.Attrs().Alias, owned); ours {
		b.Owner = owner
	}
	addrs, err := Dump(func() ([]netlink.Addr, error) { return host.AddrList(link, netlink.FAMILY_ALL) })
	for _, a := range addrs {
		if p := prefixOf(a.IPNet); !p.Addr().IsLinkLocalUnicast() || p.Addr().Is4() {
			b.Addresses = append(b.Addresses, p)
		}
	}
	return b, true, err
}

// EnsureBridge brings the bridge into being, up and with the addresses. One that is made becomes the owner's.
func EnsureBridge(host *netlink.Handle, b Bridge) (Bridge, error) {
	link, err := host.LinkByName(b.Name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		link, err = makeBridge(host, b)
	}
	if err != nil {
		return Bridge{}, fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	if link.Type() != "bridge" {
		return Bridge{}, fmt.Errorf("existing interface %s is not a bridge", b.Name)
	}
	if b.IPv6 {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+b.Name+"/disable_ipv6", []byte("0"), 0); err != nil {
			return Bridge{}, fmt.Errorf("IPv6 on bridge %s: %w", b.Name, err)
		}
	}
	if err := setAddresses(host, link, b.Addresses, b.Exclusive); err != nil {
		return Bridge{}, fmt.Errorf("address of bridge %s: %w", b.Name, err)
	}
	if err := host.LinkSetUp(link); err != nil {
		return Bridge{}, fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	b.Index = link.Attrs().Index
	return b, nil
}

// makeBridge makes a bridge under a name that tells whose it is, and gives it its own when it bears the owner's mark: the kernel
// does not take the mark with the making, and one that is killed in between leaves nothing that nobody knows.
func makeBridge(host *netlink.Handle, b Bridge) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	// An address of its own: without one, the bridge's changes as ports come and go.
	attrs.Name, attrs.MTU, attrs.HardwareAddr = unmarked(b.Owner)+rand.Text()[:4], b.MTU, RandomMAC()
	if err := host.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return nil, fmt.Errorf("add: %w", err)
	}
	link, err := host.LinkByName(attrs.Name)
	if err != nil {
		return nil, err
	}
	if err := host.LinkSetAlias(link, owned+b.Owner); err != nil {
		return nil, errors.Join(err, host.LinkDel(link))
	}
	if err := host.LinkSetName(link, b.Name); err != nil {
		return nil, errors.Join(err, host.LinkDel(link))
	}
	if b.IPv6 {
		return link, nil
	}
	err = os.WriteFile("/proc/sys/net/ipv6/conf/"+b.Name+"/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, os.ErrNotExist) {
		err = nil // a kernel without IPv6
	}
	return link, err
}

// unmarked is how the names of bridges begin that an engine with this data root is making: 10 of the 15 characters that a name has.
func unmarked(owner string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(owner)) // it does not fail
	return fmt.Sprintf("gt%08x", h.Sum32())
}

// OwnedBridges lists the bridges that an engine with this data root has made, or was making when it was killed.
func OwnedBridges(host *netlink.Handle, owner string) ([]string, error) {
	links, err := Dump(host.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []string
	for _, l := range links {
		if l.Type() == "bridge" && (l.Attrs().Alias == owned+owner || strings.HasPrefix(l.Attrs().Name, unmarked(owner))) {
			out = append(out, l.Attrs().Name)
		}
	}
	return out, nil
}

// DeleteBridge removes a bridge of the owner's; one of somebody else's stays. One that is gone is not an error.
func DeleteBridge(host *netlink.Handle, name, owner string) error {
	link, err := host.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	} else if err != nil {
		return err
	}
	if link.Attrs().Alias != owned+owner {
		return nil
	}
	return Delete(host, name)
}

// setAddresses adds those that are missing; with only, it removes what is there besides.
func setAddresses(host *netlink.Handle, link netlink.Link, want []netip.Prefix, only bool) error {
	addrs, err := Dump(func() ([]netlink.Addr, error) { return host.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	var have []netip.Prefix
	for _, a := range addrs {
		p := prefixOf(a.IPNet)
		have = append(have, p)
		if only && !slices.Contains(want, p) && !(p.Addr().Is6() && p.Addr().IsLinkLocalUnicast()) {
			if err := host.AddrDel(link, &a); err != nil {
				return err
			}
		}
	}
	for _, p := range want {
		if slices.Contains(have, p) {
			continue
		}
		if err := host.AddrAdd(link, address(p)); err != nil {
			return err
		}
	}
	return nil
}

// address is one that is used at once: nobody else can have it.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// Route is one of the host's routes to somewhere.
type Route struct {
	To        netip.Prefix
	ByGateway bool
}

// Routes lists the host's routes of a family (unix.AF_INET, unix.AF_INET6) other than the default one and those by the
// interface with the index except.
func Routes(host *netlink.Handle, family, except int) ([]Route, error) {
	routes, err := Dump(func() ([]netlink.Route, error) { return host.RouteList(nil, family) })
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

// RandomMAC returns an address that no manufacturer has.
func RandomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	_, _ = rand.Read(mac)
	mac[0] = mac[0]&^1 | 2 // unicast, locally administered
	return mac
}
