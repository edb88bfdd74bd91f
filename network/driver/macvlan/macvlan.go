// Package macvlan is the driver of networks whose containers have interfaces of their own on the network of one of
// the host's interfaces, the parent, each with a MAC address.
package macvlan

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

// Names of the options of a macvlan network.
const (
	OptParent = "parent"
	OptMode   = "macvlan_mode"
)

func modes() map[string]netlink.MacvlanMode {
	return map[string]netlink.MacvlanMode{
		"bridge": netlink.MACVLAN_MODE_BRIDGE, "private": netlink.MACVLAN_MODE_PRIVATE,
		"vepa": netlink.MACVLAN_MODE_VEPA, "passthru": netlink.MACVLAN_MODE_PASSTHRU,
	}
}

// Driver makes macvlan networks.
type Driver struct {
	host    *netlink.Handle
	parents *parent.Parents
}

// New returns a driver. owner is the data root, which marks the parents that are made.
func New(host *netlink.Handle, owner string) *Driver {
	return &Driver{host, parent.New(host, "macvlan:"+owner, OptParent)}
}

// Traits of macvlan networks.
func (d *Driver) Traits() driver.Traits {
	return driver.Traits{Addresses: true, Prefix: "eth", Gateway: true, OwnMAC: true}
}

// Check reads the options.
func (d *Driver) Check(n *driver.Network) error {
	mode := cmp.Or(n.Options[OptMode], "bridge")
	if _, ok := modes()[mode]; !ok {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("requested macvlan mode '%s' is not valid, 'bridge' mode is the macvlan driver default", mode))
	}
	return d.parents.Check(n, mode == "passthru")
}

// Create makes the parent, where it is a VLAN of an interface or nobody has said which one it is.
func (d *Driver) Create(_ context.Context, n *driver.Network) error {
	return d.parents.Ensure(n, n.Options[OptMode] == "passthru")
}

// Remove takes away a parent that Create has made, unless another network has it.
func (d *Driver) Remove(_ context.Context, n *driver.Network) error { return d.parents.Remove(n) }

// Sweep removes the parents of networks that are gone.
func (d *Driver) Sweep(known []*driver.Network) error { return d.parents.Sweep(known) }

// Join makes a macvlan interface.
func (d *Driver) Join(_ context.Context, n *driver.Network, e *driver.Endpoint, ns *sandbox.Namespace) error {
	attrs, err := d.parents.Attrs(n, e)
	if err != nil {
		return err
	}
	attrs.HardwareAddr = e.MAC
	link := &netlink.Macvlan{LinkAttrs: attrs, Mode: modes()[cmp.Or(n.Options[OptMode], "bridge")]}
	return ns.AddLink(d.host, link, e.Interface)
}

// Leave has nothing to do on the host: the interface goes with its namespace.
func (d *Driver) Leave(_ context.Context, _ *driver.Network, e *driver.Endpoint, ns *sandbox.Namespace) error {
	if ns == nil {
		return nil
	}
	return ns.RemoveMarked(parent.Mark(e))
}

// Route is by the network's own gateway, which is not this host.
func (d *Driver) Route(n *driver.Network, s driver.Subnet) sandbox.Default {
	if n.Internal {
		return sandbox.Default{}
	}
	return sandbox.Default{Via: s.Gateway}
}
