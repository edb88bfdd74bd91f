package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Interface is how an interface in a namespace is set up.
type Interface struct {
	Name      string
	Addresses []netip.Prefix
	Default4  Default
	Default6  Default
	Sysctls   []Sysctl
}

// Sysctl is a setting of one interface: Key is the path below /proc/sys, with IFNAME in place of the interface.
type Sysctl struct{ Key, Value string }

// Default is a default route by an interface. The zero value is none.
type Default struct {
	Via    netip.Addr // not valid: whatever is on the link
	Direct bool       // without a gateway
}

func (d Default) set() bool { return d.Direct || d.Via.IsValid() }

// Configure sets an interface up: addresses, settings, up, default routes. A default route that the namespace
// has by another interface is replaced. Errors leave it half done: the caller removes the interface.
func (n *Namespace) Configure(i Interface) error {
	link, err := n.handle.LinkByName(i.Name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", i.Name, err)
	}
	settings := i.Sysctls
	for _, a := range i.Addresses {
		if a.Addr().Is6() {
			// New interfaces have no IPv6 until their network has.
			settings = append([]Sysctl{{"net/ipv6/conf/IFNAME/disable_ipv6", "0"}, {"net/ipv6/conf/IFNAME/accept_ra", "0"}}, settings...)
			break
		}
	}
	if err := n.set(i.Name, settings); err != nil {
		return err
	}
	for _, a := range i.Addresses {
		if err := n.handle.AddrAdd(link, address(a)); err != nil {
			return fmt.Errorf("address %s: %w", a, err)
		}
	}
	if err := n.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("interface %s: %w", i.Name, err)
	}
	return errors.Join(n.route(link, i.Default4, unix.AF_INET), n.route(link, i.Default6, unix.AF_INET6))
}

// SetDefault makes an interface that is up the way to everywhere.
func (n *Namespace) SetDefault(name string, v4, v6 Default) error {
	link, err := n.handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return errors.Join(n.route(link, v4, unix.AF_INET), n.route(link, v6, unix.AF_INET6))
}

func (n *Namespace) route(link netlink.Link, d Default, family int) error {
	if !d.set() {
		return nil
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Family: family}
	if d.Via.IsValid() {
		r.Gw = d.Via.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
		r.Dst = ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0))
		if family == unix.AF_INET6 {
			r.Dst = ipNet(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
		}
	}
	if err := n.handle.RouteReplace(r); err != nil {
		return fmt.Errorf("default route by %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// set writes settings of an interface.
func (n *Namespace) set(name string, settings []Sysctl) error {
	if len(settings) == 0 {
		return nil
	}
	return n.do(func() error {
		for _, s := range settings {
			path := "/proc/sys/" + strings.ReplaceAll(s.Key, "IFNAME", name)
			if err := os.WriteFile(path, []byte(s.Value), 0); err != nil {
				return fmt.Errorf("set %s of interface %s: %w", s.Key, name, err)
			}
		}
		return nil
	})
}

// do runs f on a thread in the namespace: /proc/sys/net is that of who opens it.
func (n *Namespace) do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(n.fd); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Interfaces maps the addresses in the namespace to the names of the interfaces that have them.
func (n *Namespace) Interfaces() (map[netip.Addr]string, error) {
	links, err := Dump(n.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	addrs, err := Dump(func() ([]netlink.Addr, error) { return n.handle.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	out := map[netip.Addr]string{}
	for _, a := range addrs {
		out[prefixOf(a.IPNet).Addr()] = names[a.LinkIndex]
	}
	return out, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
