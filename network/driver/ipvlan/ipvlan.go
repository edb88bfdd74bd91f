// Package ipvlan is the driver of networks whose containers have interfaces of their own on the network of one of the
// host's interfaces, the parent, under its MAC address.
package ipvlan

import (
	"cmp"
	"context"
	"fmt"

	"gantry/network/driver"
	"gantry/network/driver/parent"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Names of the options of an ipvlan network.
const (
	OptParent = "parent"
	OptMode   = "ipvlan_mode"
	OptFlag   = "ipvlan_flag"
)

func modes() map[string]netlink.IPVlanMode {
	return map[string]netlink.IPVlanMode{"l2": netlink.IPVLAN_MODE_L2, "l3": netlink.IPVLAN_MODE_L3, "l3s": netlink.IPVLAN_MODE_L3S}
}

func flags() map[string]netlink.IPVlanFlag {
	return map[string]netlink.IPVlanFlag{
		"bridge": netlink.IPVLAN_FLAG_BRIDGE, "private": netlink.IPVLAN_FLAG_PRIVATE, "vepa": netlink.IPVLAN_FLAG_VEPA,
	}
}

// Driver makes ipvlan networks.
type Driver struct {
	host    *netlink.Handle
	parents *parent.Parents
}

// New returns a driver. owner is the data root, which marks the parents that are made.
func New(host *netlink.Handle, owner string) *Driver {
	return &Driver{host, parent.New(host, "ipvlan:"+owner, OptParent)}
}

// Traits of ipvlan networks.
func (d *Driver) Traits() driver.Traits {
	return driver.Traits{Addresses: true, Prefix: "eth", Gateway: true}
}

// Check reads the options.
func (d *Driver) Check(n *driver.Network) error {
	if mode := n.Options[OptMode]; mode != "" {
		if _, ok := modes()[mode]; !ok {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("requested ipvlan mode '%s' is not valid, 'l2' mode is the ipvlan driver default", mode))
		}
	}
	if flag := n.Options[OptFlag]; flag != "" {
		if _, ok := flags()[flag]; !ok {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("requested ipvlan flag '%s' is not valid, 'bridge' is the ipvlan driver default", flag))
		}
	}
	return d.parents.Check(n, false)
}

// Create makes the parent, where it is a VLAN of an interface or nobody has said which one it is.
func (d *Driver) Create(_ context.Context, n *driver.Network) error {
	return d.parents.Ensure(n, false)
}

// Remove takes away a parent that Create has made, unless another network has it.
func (d *Driver) Remove(_ context.Context, n *driver.Network) error { return d.parents.Remove(n) }

// Sweep removes the parents of networks that are gone.
func (d *Driver) Sweep(known []*driver.Network) error { return d.parents.Sweep(known) }

// Join makes an ipvlan interface.
func (d *Driver) Join(_ context.Context, n *driver.Network, e *driver.Endpoint, ns *sandbox.Namespace) error {
	attrs, err := d.parents.Attrs(n, e)
	if err != nil {
		return err
	}
	link := &netlink.IPVlan{LinkAttrs: attrs, Mode: modes()[cmp.Or(n.Options[OptMode], "l2")], Flag: flags()[cmp.Or(n.Options[OptFlag], "bridge")]}
	return ns.AddLink(d.host, link, e.Interface)
}

// Leave has nothing to do on the host: the interface goes with its namespace.
func (d *Driver) Leave(_ context.Context, _ *driver.Network, e *driver.Endpoint, ns *sandbox.Namespace) error {
	if ns == nil {
		return nil
	}
	return ns.RemoveMarked(parent.Mark(e))
}

// Route is by the network's own gateway in mode l2. In the others, the kernel routes: packets leave by the link.
func (d *Driver) Route(n *driver.Network, s driver.Subnet) sandbox.Default {
	switch {
	case n.Internal:
		return sandbox.Default{}
	case n.Options[OptMode] == "l3" || n.Options[OptMode] == "l3s":
		return sandbox.Default{Direct: true}
	}
	return sandbox.Default{Via: s.Gateway}
}
