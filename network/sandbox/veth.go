package sandbox

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Veth is a pair of interfaces, one in a namespace, the other a port of a bridge.
type Veth struct {
	HostName string // of the end on the bridge
	Name     string // of the end in the namespace
	Bridge   int    // index of the bridge
	MTU      int    // 0 for the kernel's default
	MAC      net.HardwareAddr
	Isolated bool // the bridge passes nothing between it and other isolated ports
}

// AddVeth makes the pair. Nothing is left when it fails.
func (n *Namespace) AddVeth(host *netlink.Handle, v Veth) (err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex, attrs.Flags = v.HostName, v.MTU, v.Bridge, net.FlagUp
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerNamespace = v.Name, v.MAC, netlink.NsFd(n.fd)
	if err := host.LinkAdd(veth); err != nil {
		return fmt.Errorf("add interface %s: %w", v.HostName, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Delete(host, v.HostName))
		}
	}()
	// A container reaches its own published port through the bridge port that it came from.
	if err := host.LinkSetHairpin(veth, true); err != nil {
		return fmt.Errorf("hairpin on %s: %w", v.HostName, err)
	}
	if v.Isolated {
		if err := host.LinkSetIsolated(veth, true); err != nil {
			return fmt.Errorf("isolate %s: %w", v.HostName, err)
		}
	}
	return nil
}

// AwaitCarrier makes sure that the first packet is not lost, which would cost its sender a second. The kernel starts a bridge
// port some time after its other end is up, and the bridge some time after its first port. Asked for them in
// this order, Linux 6.8 and later do at once what is due; before, it is a matter of less than two milliseconds.
func AwaitCarrier(host *netlink.Handle, port string, bridge int) error {
	if _, err := host.LinkByName(port); err != nil {
		return fmt.Errorf("interface %s: %w", port, err)
	}
	if _, err := host.LinkByIndex(bridge); err != nil {
		return fmt.Errorf("bridge of interface %s: %w", port, err)
	}
	return nil
}

// AddLink makes an interface in the namespace that stands on one of the host's, such as a macvlan. Its
// attributes name the parent, and a name that nothing on the host has: it moves, and keeps that one as its mark. Nothing is left when it fails.
func (n *Namespace) AddLink(host *netlink.Handle, link netlink.Link, name string) (err error) {
	first := link.Attrs().Name
	link.Attrs().Namespace = netlink.NsFd(n.fd)
	if err := host.LinkAdd(link); err != nil {
		return fmt.Errorf("add interface %s: %w", first, err)
	}
	moved, err := n.handle.LinkByName(first)
	if err == nil {
		err = errors.Join(n.handle.LinkSetAlias(moved, first), n.handle.LinkSetName(moved, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("interface %s: %w", name, err), n.Remove(first))
	}
	return nil
}

// Remove takes an interface out of the namespace and out of the world. One that is gone, or has no name yet, is not an error.
func (n *Namespace) Remove(name string) error {
	if name == "" {
		return nil
	}
	return Delete(n.handle, name)
}

// RemoveMarked removes the interface that AddLink has made under that name at first. One that is gone is not an error.
func (n *Namespace) RemoveMarked(mark string) error {
	links, err := Dump(n.handle.LinkList)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	var errs []error
	for _, l := range links {
		if l.Attrs().Alias == mark || l.Attrs().Name == mark {
			errs = append(errs, n.Remove(l.Attrs().Name))
		}
	}
	return errors.Join(errs...)
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
