package network

import (
	"crypto/sha256"
	"net/netip"
	"os"
	"slices"

	"gantry/network/ipam"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// smallest is the prefix length of networks that are cut from the default pools for users: a bridge has at most 1024 ports
// (BR_MAX_PORTS, net/bridge/br_private.h), so that a wider network could not be filled.
const smallest = 22

// pools are where networks of a family are cut from. The default ones are dockerd's ranges, those of the default bridge in
// dockerd's sizes.
func (s *state) pools(v4, forDefault bool) []Pool {
	var out []Pool
	for _, p := range s.cfg.Pools {
		if p.Base.Addr().Is4() == v4 {
			out = append(out, p)
		}
	}
	if len(out) > 0 {
		return out
	}
	if !v4 {
		return []Pool{{Base: localIPv6(), Size: 64}}
	}
	size := func(n int) int {
		if forDefault {
			return n
		}
		return smallest
	}
	first := 18
	if forDefault {
		first = 17
	}
	for second := first; second < 32; second++ {
		out = append(out, Pool{Base: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(second)}), 16), Size: size(16)})
	}
	return append(out, Pool{Base: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168}), 16), Size: size(20)})
}

// localIPv6 is the machine's own range of local addresses, RFC 4193, the same each time.
func localIPv6() netip.Prefix {
	seed, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(seed) == 0 {
		name, _ := os.Hostname()
		seed = []byte(name)
	}
	sum := sha256.Sum256(append([]byte("gantry networks "), seed...))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:6], sum[:5])
	return netip.PrefixFrom(netip.AddrFrom16(b), 48)
}

// freeSubnet returns the first subnet that no other network has and that the host has no route into, other than by the interface
// with the index except. If there is none, it is the first that only wider routes by a gateway lead into, such as those of a
// VPN that takes all traffic: the network's own route comes before them. bits is the size wanted, 0 for the pools'.
func (s *state) freeSubnet(pools []Pool, bits, except int, taken []netip.Prefix) (netip.Prefix, error) {
	family := unix.AF_INET
	if len(pools) > 0 && pools[0].Base.Addr().Is6() {
		family = unix.AF_INET6
	}
	routes, err := sandbox.Routes(s.host, family, except)
	if err != nil {
		return netip.Prefix{}, err
	}
	var second netip.Prefix
	for _, p := range pools {
		size := p.Size
		if bits != 0 {
			size = bits
		}
		for subnet := range ipam.Split(p.Base, size) {
			if slices.ContainsFunc(taken, subnet.Overlaps) {
				continue
			}
			switch overlap(routes, subnet) {
			case none:
				return subnet, nil
			case remote:
				if !second.IsValid() {
					second = subnet
				}
			}
		}
	}
	if !second.IsValid() {
		return second, errdefs.ErrInvalidArgument.WithMessage("all predefined address pools have been fully subnetted")
	}
	return second, nil
}

// How a network meets the host's routes.
const (
	none   = iota
	remote // what is behind wider routes by a gateway would be hidden
	taken
)

func overlap(routes []sandbox.Route, subnet netip.Prefix) int {
	worst := none
	for _, r := range routes {
		switch {
		case !r.To.Overlaps(subnet):
		case r.ByGateway && r.To.Bits() < subnet.Bits():
			worst = max(worst, remote)
		default:
			return taken
		}
	}
	return worst
}

// subnetsTaken are those of all networks.
func (s *state) subnetsTaken() []netip.Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []netip.Prefix
	for _, l := range s.nets {
		for _, sub := range l.subnets {
			out = append(out, sub.Prefix)
		}
	}
	return out
}
