package config

// Parts of the network that are still to come, as a refusal calls them.
const (
	laterIPv6    = "IPv6 on the default bridge"
	laterRouting = "direct routing to containers"
)

func networkTable(c *Config) []option {
	n := &c.Network
	return []option{
		{name: "bridge", short: "b", arg: "NAME", value: text(&n.Bridge),
			help: "Attach containers to this bridge of the host, instead of making docker0. none leaves the default network out."},
		{name: "bip", arg: "ADDRESS/LENGTH", value: prefix(&n.BIP),
			help: "Give the default bridge this address and network. Not together with --bridge."},
		{name: "fixed-cidr", arg: "PREFIX", value: prefix(&n.FixedCIDR),
			help: "Give containers on the default bridge addresses of this part of its network."},
		{name: "default-gateway", arg: "ADDRESS", value: address(&n.Gateway),
			help: "Send what leaves the default bridge to this address, instead of the bridge's own."},
		{name: "mtu", arg: "BYTES", value: number(&n.MTU),
			help: "Largest packet on the default bridge. The default is 1500."},
		{name: "icc", value: boolean(&n.ICC),
			help: "Let containers on the default bridge reach each other's ports that are not published."},
		{name: "ip", arg: "ADDRESS", value: address(&n.IP),
			help: "Publish ports at this address of the host, if a container does not say where. The default is all addresses."},
		{name: "ip-forward", value: boolean(&n.IPForward),
			help: "Switch the forwarding of packets on in the kernel."},
		{name: "ip-masq", value: boolean(&n.IPMasq),
			help: "Let containers reach the world under the address of the host."},
		{name: "iptables", value: boolean(&n.IPTables),
			help: "Manage the host's firewall for containers, by whichever backend. Without it, ports are not published by the kernel."},
		{name: "ip6tables", value: boolean(&n.IP6Tables),
			help: "Manage the host's firewall for IPv6, too."},
		{name: "firewall-backend", arg: "BACKEND", value: checked(&n.Firewall, checkFirewall), choices: []string{"nftables"},
			help: "Manage the firewall with nftables, the default."},
		{name: "userland-proxy", value: boolean(&n.UserlandProxy),
			help: "Forward connections to published ports that the firewall alone cannot forward, from the host itself for instance."},
		{name: "default-address-pool", keys: []string{"default-address-pools"}, arg: "base=PREFIX,size=LENGTH", value: pools{&n.Pools},
			help: "Cut new networks of this length from this range. May be given several times."},
		{name: "dns", arg: "ADDRESS", value: addresses(&n.DNS),
			help: "Let containers ask this name server, instead of the host's. May be given several times."},
		{name: "dns-opt", keys: []string{"dns-opts"}, arg: "OPTION", value: texts(&n.DNSOptions, nil),
			help: "Write this option to /etc/resolv.conf of containers. May be given several times."},
		{name: "dns-search", arg: "DOMAIN", value: texts(&n.DNSSearch, checkSearch),
			help: "Let containers search names in this domain. May be given several times."},
		{name: "host-gateway-ip", keys: []string{"host-gateway-ips", "host-gateway-ip"}, arg: "ADDRESS", value: gateways(&n.HostGatewayIPs),
			help: "What host-gateway in --add-host stands for: at most one IPv4 and one IPv6 address. The default is the default bridge's."},
		{name: "default-network-opt", keys: []string{"default-network-opts"}, arg: "DRIVER=KEY=VALUE", value: networkOptions(&n.DefaultOptions),
			help: "Set an option of networks of this driver that are made from now on. May be given several times."},
		{name: "ipv6", value: boolean(&n.IPv6), later: laterIPv6,
			help: "Give the default bridge IPv6, too."},
		{name: "bip6", arg: "ADDRESS/LENGTH", value: prefix(&n.BIP6), later: laterIPv6,
			help: "Give the default bridge this IPv6 address and network."},
		{name: "fixed-cidr-v6", arg: "PREFIX", value: prefix(&n.FixedCIDR6), later: laterIPv6,
			help: "Give containers on the default bridge IPv6 addresses of this network."},
		{name: "default-gateway-v6", arg: "ADDRESS", value: address(&n.Gateway6), later: laterIPv6,
			help: "Send IPv6 packets that leave the default bridge to this address."},
		{name: "allow-direct-routing", value: boolean(&n.DirectRouting), later: laterRouting,
			help: "Let other hosts reach published ports at the containers' own addresses."},
		{name: "bridge-accept-fwmark", arg: "MARK[/MASK]", value: text(&c.Later.FwMark), later: laterRouting,
			help: "Accept packets with this firewall mark in bridge networks."},
	}
}
