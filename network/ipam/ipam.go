// Package ipam hands out the addresses of one subnet.
//
// A range is the part of the subnet that addresses are chosen from; the rest of the subnet can be asked
// for by address. What was released last is handed out last, so that a peer's caches have time to forget.
package ipam

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"

	"github.com/containerd/errdefs"
)

// Subnet is the addresses of an IPv4 network. Safe for concurrent use.
type Subnet struct {
	prefix      netip.Prefix
	first, last uint32 // of the range

	mu   sync.Mutex // guards what follows
	used map[netip.Addr]struct{}
	next uint32 // where the search begins
}

// New returns the addresses of prefix, chosen from within, which is the whole prefix if it is not valid.
// The network's address, the broadcast address and those in reserved are never handed out.
// Errors: invalid argument.
func New(prefix, within netip.Prefix, reserved ...netip.Addr) (*Subnet, error) {
	prefix = prefix.Masked()
	if !within.IsValid() {
		within = prefix
	}
	within = within.Masked()
	if !prefix.Addr().Is4() || !within.Addr().Is4() || within.Bits() < prefix.Bits() || !prefix.Contains(within.Addr()) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("range %s is not in subnet %s", within, prefix))
	}
	s := &Subnet{prefix: prefix, used: map[netip.Addr]struct{}{}}
	s.first, s.last = bounds(within)
	s.next = s.first
	low, high := bounds(prefix)
	if prefix.Bits() < 31 { // RFC 3021: a /31 has neither
		s.used[address(low)], s.used[address(high)] = struct{}{}, struct{}{}
	}
	for _, a := range reserved {
		s.used[a] = struct{}{}
	}
	return s, nil
}

// Next takes a free address. Errors: resource exhausted.
func (s *Subnet) Next() (netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := uint64(s.last) - uint64(s.first) + 1
	for n := uint64(0); n < size; n++ {
		a := address(s.next)
		if s.next++; s.next > s.last || s.next < s.first {
			s.next = s.first
		}
		if _, taken := s.used[a]; !taken {
			s.used[a] = struct{}{}
			return a, nil
		}
	}
	return netip.Addr{}, errdefs.ErrResourceExhausted.WithMessage("no available IPv4 addresses on this network's address pools: " + s.prefix.String())
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

func bounds(p netip.Prefix) (low, high uint32) {
	b := p.Addr().As4()
	low = binary.BigEndian.Uint32(b[:])
	return low, low | uint32(1<<(32-p.Bits())-1)
}

func address(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
