package bridge

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gantry/network/driver"

	"github.com/containerd/errdefs"
)

// Names of the options of a bridge network.
const (
	OptName        = "com.docker.network.bridge.name"
	OptMasquerade  = "com.docker.network.bridge.enable_ip_masquerade"
	OptICC         = "com.docker.network.bridge.enable_icc"
	OptInhibitIPv4 = "com.docker.network.bridge.inhibit_ipv4"
	OptBinding     = "com.docker.network.bridge.host_binding_ipv4"
	OptDefault     = "com.docker.network.bridge.default_bridge"
	OptMode4       = "com.docker.network.bridge.gateway_mode_ipv4"
	OptMode6       = "com.docker.network.bridge.gateway_mode_ipv6"
	OptTrusted     = "com.docker.network.bridge.trusted_host_interfaces"
	OptHost4       = "com.docker.network.host_ipv4"
	OptHost6       = "com.docker.network.host_ipv6"
)

// Mode is how a bridge network meets the world, in one family.
type Mode string

// The gateway modes. The zero value is NAT.
const (
	NAT            Mode = "nat"
	NATUnprotected Mode = "nat-unprotected" // ports that are not published can be reached, too, where a route leads there
	Routed         Mode = "routed"          // no translation: what is published is what the firewall lets through
	Isolated       Mode = "isolated"        // of internal networks: not even the host is there
)

// Options are the options of a bridge network, read.
type Options struct {
	Bridge       string // name of the interface
	MTU          int    // 0 for the kernel's
	ICC          bool   // containers reach one another
	Masquerade   bool   // connections to the outside have the host's address
	InhibitIPv4  bool   // the bridge has no IPv4 address
	Binding      netip.Addr
	Default      bool // the network is the default one
	Mode4, Mode6 Mode
	Trusted      []string // interfaces from which containers are reached at their own addresses
	Host4, Host6 netip.Addr
}

// Parse reads the options of a network. Errors: invalid argument.
func Parse(n *driver.Network) (Options, error) {
	r := reader{options: n.Options}
	o := Options{
		Bridge: cmp.Or(n.Options[OptName], ownName(n)), MTU: r.number(driver.MTU),
		ICC: r.flag(OptICC, true), Masquerade: r.flag(OptMasquerade, true), InhibitIPv4: r.flag(OptInhibitIPv4, false),
		Default: r.flag(OptDefault, false), Binding: r.address(OptBinding),
		Mode4: r.mode(OptMode4), Mode6: r.mode(OptMode6), Host4: r.address(OptHost4), Host6: r.address(OptHost6),
	}
	if t := n.Options[OptTrusted]; t != "" {
		o.Trusted = strings.Split(t, ":")
	}
	if r.err == nil && (o.Mode4 == Isolated || o.Mode6 == Isolated) && !n.Internal {
		r.err = errdefs.ErrInvalidArgument.WithMessage("gateway mode 'isolated' can only be used for an internal network")
	}
	if r.err == nil && (len(o.Bridge) > 15 || strings.ContainsAny(o.Bridge, "/ \t\n") || o.Bridge == "." || o.Bridge == "..") { // IFNAMSIZ, netdevice(7)
		r.err = errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid bridge name %q: an interface's name has at most 15 characters, without space or /", o.Bridge))
	}
	return o, r.err
}

// reader remembers the first error.
type reader struct {
	options map[string]string
	err     error
}

func (r *reader) fail(name, value string) {
	if r.err == nil {
		r.err = errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("failed to parse %s value: %q", name, value))
	}
}

func (r *reader) flag(name string, absent bool) bool {
	value, ok := r.options[name]
	if !ok {
		return absent
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		r.fail(name, value)
	}
	return b
}

func (r *reader) number(name string) int {
	value, ok := r.options[name]
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		r.fail(name, value)
	}
	return n
}

func (r *reader) address(name string) netip.Addr {
	value := r.options[name]
	if value == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(value)
	if err != nil {
		r.fail(name, value)
	}
	return a
}

func (r *reader) mode(name string) Mode {
	m := Mode(r.options[name])
	if m != "" && !slices.Contains([]Mode{NAT, NATUnprotected, Routed, Isolated}, m) && r.err == nil {
		r.err = errdefs.ErrInvalidArgument.WithMessage("unknown gateway mode " + string(m))
	}
	return cmp.Or(m, NAT)
}
