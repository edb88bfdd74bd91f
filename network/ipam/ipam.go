// Package ipam hands out the addresses of one subnet, IPv4 or IPv6.
//
// A range is the part of the subnet that addresses are chosen from; the rest of the subnet can be asked
// for by address. What was released last is handed out last, so that a peer's caches have time to forget.
package ipam

import (
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"sync"

	"github.com/containerd/errdefs"
)

// Subnet is the addresses of a network. Safe for concurrent use.
type Subnet struct {
	prefix      netip.Prefix
	within      netip.Prefix
	first, last netip.Addr // of the range

	mu   sync.Mutex // guards what follows
	used map[netip.Addr]struct{}
	next netip.Addr // where the search begins
}

// New returns the addresses of prefix, chosen from within, which is the whole prefix if it is not valid.
// The network's address, the IPv4 broadcast address and those in reserved are never handed out.
// Errors: invalid argument.
func New(prefix, within netip.Prefix, reserved ...netip.Addr) (*Subnet, error) {
	prefix = prefix.Masked()
	if !within.IsValid() {
		within = prefix
	}
	within = within.Masked()
	if within.Bits() < prefix.Bits() || !prefix.Contains(within.Addr()) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("range %s is not in subnet %s", within, prefix))
	}
	s := &Subnet{prefix: prefix, within: within, used: map[netip.Addr]struct{}{}}
	s.first, s.last = within.Addr(), last(within)
	s.next = s.first
	if hosts := prefix.Addr().BitLen() - prefix.Bits(); hosts > 1 { // RFC 3021 and RFC 6164: a pair has neither
		s.used[prefix.Addr()] = struct{}{} // to all routers of the subnet, in IPv6: RFC 4291
		if prefix.Addr().Is4() {
			s.used[last(prefix)] = struct{}{}
		}
	}
	for _, a := range reserved {
		s.used[a] = struct{}{}
	}
	return s, nil
}

// Prefix is the whole subnet.
func (s *Subnet) Prefix() netip.Prefix { return s.prefix }

// Next takes a free address. Errors: resource exhausted. Time: O(addresses in use).
func (s *Subnet) Next() (netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.next
	// One more than there are addresses in use finds a free one, unless the range is smaller than that.
	for range len(s.used) + 1 {
		_, taken := s.used[a]
		free := a
		if a == s.last {
			a = s.first
		} else {
			a = a.Next()
		}
		if !taken {
			s.used[free] = struct{}{}
			s.next = a
			return free, nil
		}
	}
	family := "IPv4"
	if s.prefix.Addr().Is6() {
		family = "IPv6"
	}
	return netip.Addr{}, errdefs.ErrResourceExhausted.WithMessage("no available " + family + " addresses on this network's address pools: " + s.prefix.String())
}

// Claim takes one address. Errors: invalid argument (not of this subnet), conflict (taken).
func (s *Subnet) Claim(a netip.Addr) error {
	if !s.prefix.Contains(a) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("address %s is not in subnet %s", a, s.prefix))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.used[a]; taken {
		return errdefs.ErrConflict.WithMessage("Address already in use: " + a.String())
	}
	s.used[a] = struct{}{}
	return nil
}

// Release gives back what Next or Claim took.
func (s *Subnet) Release(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.used, a)
}

// Usage counts the addresses that cannot be had, reserved ones included, and those that Next could still give. Both
// end at 2^64 - 1.
func (s *Subnet) Usage() (inUse, available uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var inRange int64
	for a := range s.used {
		if s.within.Contains(a) {
			inRange++
		}
	}
	size := new(big.Int).Lsh(big.NewInt(1), uint(s.within.Addr().BitLen()-s.within.Bits()))
	size.Sub(size, big.NewInt(inRange))
	available = math.MaxUint64
	if size.IsUint64() {
		available = size.Uint64()
	}
	return uint64(len(s.used)), available
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
