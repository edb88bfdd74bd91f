package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interface is one end of a veth pair in a namespace, whose other end is a port of a bridge.
type Interface struct {
	HostName string // of the end on the bridge
	Name     string // of the end in the namespace
	Bridge   int    // index of the bridge
	MTU      int
	MAC      net.HardwareAddr
	Address  netip.Prefix
	Gateway  netip.Addr // default route; zero for none
	Isolated bool       // the bridge passes nothing between it and other isolated ports
}

// Add makes the pair and configures the namespace's end. Nothing is left when it fails.
func (n *Namespace) Add(host *netlink.Handle, i Interface) (err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex, attrs.Flags = i.HostName, i.MTU, i.Bridge, net.FlagUp
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerNamespace = i.Name, i.MAC, netlink.NsFd(n.fd)
	if err := host.LinkAdd(veth); err != nil {
		return fmt.Errorf("add interface %s: %w", i.HostName, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Delete(host, i.HostName))
		}
	}()
	// A container reaches its own published port through the bridge port that it came from.
	if err := host.LinkSetHairpin(veth, true); err != nil {
		return fmt.Errorf("hairpin on %s: %w", i.HostName, err)
	}
	if i.Isolated {
		if err := host.LinkSetIsolated(veth, true); err != nil {
			return fmt.Errorf("isolate %s: %w", i.HostName, err)
		}
	}
	if err := n.configure(i); err != nil {
		return err
	}
	return awaitCarrier(host, i)
}

// awaitCarrier makes sure that the first packet is not lost, which would cost its sender a second. The kernel starts a bridge
// port some time after its other end is up, and the bridge some time after its first port. Asked for them in
// this order, Linux 6.8 and later do at once what is due; before, it is a matter of less than two milliseconds.
func awaitCarrier(host *netlink.Handle, i Interface) error {
	if _, err := host.LinkByName(i.HostName); err != nil {
		return fmt.Errorf("interface %s: %w", i.HostName, err)
	}
	if _, err := host.LinkByIndex(i.Bridge); err != nil {
		return fmt.Errorf("bridge of interface %s: %w", i.HostName, err)
	}
	return nil
}

func (n *Namespace) configure(i Interface) error {
	link, err := n.handle.LinkByName(i.Name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", i.Name, err)
	}
	if err := n.handle.AddrAdd(link, &netlink.Addr{IPNet: ipNet(i.Address)}); err != nil {
		return fmt.Errorf("address %s: %w", i.Address, err)
	}
	if err := n.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("interface %s: %w", i.Name, err)
	}
	if !i.Gateway.IsValid() {
		return nil
	}
	err = n.handle.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: i.Gateway.AsSlice(), Family: unix.AF_INET})
	if err != nil {
		return fmt.Errorf("default route by %s: %w", i.Gateway, err)
	}
	return nil
}

// Delete removes an interface of the host, and with it the other end. One that is gone is not an error.
func Delete(host *netlink.Handle, name string) error {
	link, err := host.LinkByName(name)
	if err == nil {
		err = host.LinkDel(link)
	}
	if errors.As(err, new(netlink.LinkNotFoundError)) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
