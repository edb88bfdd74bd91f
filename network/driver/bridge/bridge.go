// Package bridge is the driver of networks that are a Linux bridge on the host, with a veth pair for each container.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"gantry/network/driver"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Driver makes bridge networks.
type Driver struct {
	host    *netlink.Handle
	remover *netlink.Handle // its own socket: nobody waits behind what is being removed
	// isolate says that the firewall cannot see what a bridge passes from port to port.
	isolate func() bool
	owner   string

	mu      sync.Mutex // guards bridges
	bridges map[string]made
}

// made is a network's bridge.
type made struct {
	index   int
	options Options
}

// New returns a driver that talks to the kernel by two sockets of the caller's. isolate tells whether containers of a network without
// ICC have to be kept apart by the bridge itself. owner is the data root, which marks the bridges that are made.
func New(host, remover *netlink.Handle, owner string, isolate func() bool) *Driver {
	return &Driver{host: host, remover: remover, owner: owner, isolate: isolate, bridges: map[string]made{}}
}

// Traits of bridge networks.
func (d *Driver) Traits() driver.Traits {
	return driver.Traits{Addresses: true, Publish: true, Prefix: "eth", Gateway: true, OwnMAC: true, Subnets: 1}
}

// Check reads the options.
func (d *Driver) Check(n *driver.Network) error {
	o, err := Parse(n)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, other := range d.bridges {
		if id != n.ID && other.options.Bridge == o.Bridge {
			return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
				"cannot create network %s (%s): conflicts with network %s (%s): networks have same bridge name", n.ID, o.Bridge, id, o.Bridge))
		}
	}
	return nil
}

// Create brings the bridge into being, with the gateways as its addresses. A bridge of the user's own keeps those that
// it has beside.
func (d *Driver) Create(_ context.Context, n *driver.Network) error {
	o, err := Parse(n)
	if err != nil {
		return err
	}
	var addresses []netip.Prefix
	for _, s := range n.Subnets {
		v4 := s.Prefix.Addr().Is4()
		bare := v4 && (o.InhibitIPv4 || o.Mode4 == Isolated) || !v4 && o.Mode6 == Isolated
		if s.Gateway.IsValid() && !bare {
			addresses = append(addresses, netip.PrefixFrom(s.Gateway, s.Prefix.Bits()))
		}
	}
	b, err := sandbox.EnsureBridge(d.host, sandbox.Bridge{
		Name: o.Bridge, Addresses: addresses, IPv6: n.IPv6, MTU: o.MTU, Owner: d.owner, Exclusive: o.Bridge == "docker0" || o.Bridge == ownName(n),
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bridges[n.ID] = made{b.Index, o}
	return nil
}

// Remove takes the bridge away, unless it was there before the network.
func (d *Driver) Remove(_ context.Context, n *driver.Network) error {
	o, err := Parse(n)
	if err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.bridges, n.ID)
	d.mu.Unlock()
	if o.Default {
		return nil
	}
	if o.Bridge == ownName(n) { // whoever made it: another engine may have, for this network
		return sandbox.Delete(d.remover, o.Bridge)
	}
	return sandbox.DeleteBridge(d.remover, o.Bridge, d.owner)
}

// Join makes a veth pair.
func (d *Driver) Join(_ context.Context, n *driver.Network, e *driver.Endpoint, ns *sandbox.Namespace) error {
	d.mu.Lock()
	b, ok := d.bridges[n.ID]
	d.mu.Unlock()
	if !ok {
		return errdefs.ErrNotFound.WithMessage("network " + n.Name + " not found")
	}
	return ns.AddVeth(d.host, sandbox.Veth{
		HostName: HostInterface(e), Name: e.Interface, Bridge: b.index, MTU: b.options.MTU, MAC: e.MAC,
		Isolated: !b.options.ICC && d.isolate(),
	})
}

// Leave removes the pair.
func (d *Driver) Leave(_ context.Context, _ *driver.Network, e *driver.Endpoint, _ *sandbox.Namespace) error {
	return sandbox.Delete(d.remover, HostInterface(e))
}

// Route is by the gateway, unless the network is internal.
func (d *Driver) Route(n *driver.Network, s driver.Subnet) sandbox.Default {
	if n.Internal {
		return sandbox.Default{}
	}
	if s.Router.IsValid() {
		return sandbox.Default{Via: s.Router}
	}
	return sandbox.Default{Via: s.Gateway}
}

// Settle makes the kernel forward from the first packet on.
func (d *Driver) Settle(n *driver.Network, e *driver.Endpoint) error {
	d.mu.Lock()
	b := d.bridges[n.ID]
	d.mu.Unlock()
	return sandbox.AwaitCarrier(d.host, HostInterface(e), b.index)
}

// Sweep removes the bridges of networks that are gone. The default one stays: it may be somebody's by now.
func (d *Driver) Sweep([]*driver.Network) error {
	owned, err := sandbox.OwnedBridges(d.host, d.owner)
	if err != nil {
		return err
	}
	known := map[string]bool{"docker0": true}
	d.mu.Lock()
	for _, b := range d.bridges {
		known[b.options.Bridge] = true
	}
	d.mu.Unlock()
	var errs []error
	for _, name := range owned {
		if !known[name] {
			errs = append(errs, sandbox.Delete(d.host, name))
		}
	}
	return errors.Join(errs...)
}

// ownName is what a network's bridge is called if nobody says otherwise.
func ownName(n *driver.Network) string { return "br-" + n.ID[:min(12, len(n.ID))] }

// HostInterface is the name of an endpoint's interface on the host.
func HostInterface(e *driver.Endpoint) string { return "veth" + e.ID[:min(7, len(e.ID))] }
