package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gantry/network/driver/bridge"
	"gantry/network/firewall"
)

// bridges are the bridge networks as the firewall sees them, in the order of their names.
func (s *ruler) bridges() []firewall.Bridge {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []firewall.Bridge
	for _, l := range s.nets {
		if l.record.Driver != "bridge" || l.driver == nil || l.gone {
			continue
		}
		o, err := bridge.Parse(l.conf)
		if err != nil {
			continue // it was checked when it was made
		}
		b := firewall.Bridge{Name: o.Bridge, Isolated: !o.ICC, Internal: l.record.Internal}
		for _, sub := range l.subnets {
			family, mode := &b.IPv4, o.Mode4
			if sub.Prefix.Addr().Is6() {
				family, mode = &b.IPv6, o.Mode6
			}
			*family = firewall.Family{Subnet: sub.Prefix, Gateway: sub.Gateway, Masquerade: o.Masquerade && !l.record.Internal && mode != bridge.Routed}
		}
		if b.IPv4.Subnet.IsValid() || b.IPv6.Subnet.IsValid() {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b firewall.Bridge) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// bindingOf is the address of the host where a network's ports are published by default; not valid for all.
func bindingOf(l *lan) netip.Addr {
	o, err := bridge.Parse(l.conf)
	if err != nil {
		return netip.Addr{}
	}
	return o.Binding
}

// forDockerd is what dockerd's bridge driver wants to find of a network; nil for other drivers.
func forDockerd(l *lan) map[string]any {
	if l.record.Driver != "bridge" || l.driver == nil {
		return nil
	}
	o, err := bridge.Parse(l.conf)
	if err != nil {
		return nil
	}
	creator := 1 // libnetwork's word for itself
	if !strings.HasPrefix(o.Bridge, "br-") {
		creator = 2
	}
	const nobody = "<nil>" // how Go prints no address, which is what dockerd stores
	m := map[string]any{
		"ID": l.record.ID, "BridgeName": o.Bridge, "BridgeIfaceCreator": creator, "ContainerIfacePrefix": l.record.Options["com.docker.network.container_iface_prefix"],
		"DefaultBindingIP": cmp.Or(addressOr(o.Binding, ""), "0.0.0.0"), "DefaultBridge": o.Default, "DefaultGatewayIPv4": nobody, "DefaultGatewayIPv6": nobody,
		"EnableICC": o.ICC, "EnableIPMasquerade": o.Masquerade, "EnableIPv4": l.record.IPv4, "EnableIPv6": l.record.IPv6, "HostIP": addressOr(o.Host4, nobody),
		"HostIPv4": addressOr(o.Host4, nobody), "HostIPv6": addressOr(o.Host6, nobody), "InhibitIPv4": o.InhibitIPv4, "Internal": l.record.Internal, "Mtu": o.MTU,
		"GwModeIPv4": string(o.Mode4), "GwModeIPv6": string(o.Mode6),
	}
	for _, sub := range l.subnets {
		family := "IPv4"
		if sub.Prefix.Addr().Is6() {
			family = "IPv6"
		}
		if sub.Gateway.IsValid() {
			m["Address"+family] = fmt.Sprintf("%s/%d", sub.Gateway, sub.Prefix.Bits())
		}
		m["DefaultGateway"+family] = addressOr(sub.Router, nobody)
	}
	return m
}

func addressOr(a netip.Addr, none string) string {
	if !a.IsValid() {
		return none
	}
	return a.String()
}
