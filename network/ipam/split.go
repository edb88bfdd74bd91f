package ipam

import (
	"iter"
	"net/netip"
)

// Split yields the subnets of a size in a prefix, in order. A size that is not inside the prefix yields none.
func Split(base netip.Prefix, bits int) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		if bits < base.Bits() || bits > base.Addr().BitLen() {
			return
		}
		base = base.Masked()
		for a := base.Addr(); a.IsValid() && base.Contains(a); {
			p := netip.PrefixFrom(a, bits)
			if !yield(p) {
				return
			}
			a = last(p).Next() // not valid after the highest of all addresses
		}
	}
}
