package network

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"gantry/network/driver"
	"gantry/network/ipam"
	"gantry/network/store"

	"github.com/containerd/errdefs"
)

// checkPools refuses what contradicts itself, all of it at once and in dockerd's words. Errors: invalid argument.
func checkPools(asked []store.Pool, v4, v6 bool) error {
	var errs []error
	for _, p := range asked {
		if !p.Subnet.IsValid() && (p.Range.IsValid() || p.Gateway.IsValid() || len(p.Aux) > 0) {
			errs = append(errs, errors.New("every ip-range or gateway must have a corresponding subnet"))
			continue
		}
		if !p.Subnet.IsValid() || p.Subnet.Addr().Is6() && !v6 || p.Subnet.Addr().Is4() && !v4 {
			continue
		}
		errs = append(errs, checkPool(p)...)
	}
	if err := errors.Join(errs...); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage("invalid network config:\n" + err.Error())
	}
	return nil
}

func checkPool(p store.Pool) (errs []error) {
	family := "IPv4"
	if p.Subnet.Addr().Is6() {
		family = "IPv6"
	}
	inside := func(what string, a netip.Addr) {
		switch {
		case !a.IsValid() || p.Subnet.Addr().IsUnspecified():
		case a.Is4() != p.Subnet.Addr().Is4():
			errs = append(errs, fmt.Errorf("invalid %s %s: parent subnet is an %s block", what, a, family))
		case !p.Subnet.Contains(a):
			errs = append(errs, fmt.Errorf("invalid %s %s: parent subnet %s doesn't contain this address", what, a, p.Subnet))
		}
	}
	if p.Subnet != p.Subnet.Masked() {
		errs = append(errs, fmt.Errorf("invalid subnet %s: it should be %s", p.Subnet, p.Subnet.Masked()))
	}
	if r := p.Range; r.IsValid() {
		switch {
		case r.Addr().Is4() != p.Subnet.Addr().Is4():
			errs = append(errs, fmt.Errorf("invalid ip-range %s: parent subnet is an %s block", r, family))
		case r.Bits() < p.Subnet.Bits():
			errs = append(errs, fmt.Errorf("invalid ip-range %s: CIDR block is bigger than its parent subnet %s", r, p.Subnet))
		case r != r.Masked():
			errs = append(errs, fmt.Errorf("invalid ip-range %s: it should be %s", r, r.Masked()))
		case !p.Subnet.Overlaps(r):
			errs = append(errs, fmt.Errorf("invalid ip-range %s: parent subnet %s doesn't contain ip-range", r, p.Subnet))
		}
	}
	inside("gateway", p.Gateway)
	for _, name := range slices.Sorted(maps.Keys(p.Aux)) {
		inside("auxiliary address", p.Aux[name])
	}
	return errs
}

// cut settles the subnets of a new network: those asked for, or free ones of the pools. The caller holds making. Errors: invalid argument
// (nothing free), permission denied (it overlaps with another network).
func (s *maker) cut(r *store.Record, t driver.Traits) ([]store.Pool, error) {
	if !t.Addresses || r.IPAMDriver == "null" {
		return nil, nil
	}
	taken := s.subnetsTaken()
	var out []store.Pool
	for _, v4 := range []bool{true, false} {
		if v4 && !r.IPv4 || !v4 && !r.IPv6 {
			continue
		}
		var asked []store.Pool
		for _, p := range r.Asked {
			if p.Subnet.IsValid() && p.Subnet.Addr().Is4() == v4 {
				asked = append(asked, p)
			}
		}
		if len(asked) == 0 {
			asked = []store.Pool{{}}
		}
		if t.Subnets > 0 && len(asked) > t.Subnets {
			return nil, errdefs.ErrPermissionDenied.WithMessage("bridge driver doesn't support multiple subnets")
		}
		for _, p := range asked {
			p, err := s.cutOne(p, v4, t.Gateway && !(r.Internal && r.Driver != "bridge"), taken)
			if err != nil {
				return nil, err
			}
			taken, out = append(taken, p.Subnet), append(out, p)
		}
	}
	return out, nil
}

func (s *maker) cutOne(p store.Pool, v4, gateway bool, taken []netip.Prefix) (store.Pool, error) {
	switch {
	case !p.Subnet.IsValid() || p.Subnet.Addr().IsUnspecified(): // the latter says only how large
		bits := 0
		if p.Subnet.IsValid() {
			bits = p.Subnet.Bits()
		}
		free, err := s.freeSubnet(s.pools(v4, false), bits, 0, taken)
		if err != nil {
			return p, err
		}
		p.Subnet = free
	case slices.ContainsFunc(taken, p.Subnet.Overlaps):
		return p, errdefs.ErrPermissionDenied.WithMessage("invalid pool request: Pool overlaps with other one on this address space")
	}
	if p.Gateway.IsValid() || !gateway {
		return p, nil
	}
	// The first address that is free, as dockerd: of the range, if there is one.
	var reserved []netip.Addr
	for _, a := range p.Aux {
		reserved = append(reserved, a)
	}
	addresses, err := ipam.New(p.Subnet, p.Range, reserved...)
	if err == nil {
		p.Gateway, err = addresses.Next()
	}
	return p, err
}
