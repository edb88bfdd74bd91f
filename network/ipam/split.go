package ipam

import (
	"iter"
	"net/netip"
)

// Split yields the IPv4 subnets of a size in a prefix, in order. A size that is not inside the prefix yields none.
func Split(base netip.Prefix, bits int) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		if !base.Addr().Is4() || bits < base.Bits() || bits > 32 {
			return
		}
		low, high := bounds(base.Masked())
		step := uint64(1) << (32 - bits)
		for n := uint64(low); n <= uint64(high); n += step {
			if !yield(netip.PrefixFrom(address(uint32(n)), bits)) {
				return
			}
		}
	}
}
