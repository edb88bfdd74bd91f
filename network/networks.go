package network

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// List returns the networks that match, by name. Errors: invalid argument (an unknown filter).
func (s *maker) List(_ context.Context, f filter.Args) ([]network.Inspect, error) {
	if err := f.Validate("dangling", "driver", "id", "label", "name", "scope", "type"); err != nil {
		return nil, err
	}
	dangling, err := f.Bool("dangling", false)
	if err != nil {
		return nil, err
	}
	for _, t := range f.Get("type") {
		if t != "builtin" && t != "custom" {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter: 'type'='" + t + "'")
		}
	}
	list := []network.Inspect{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.nets {
		if !matches(f, l) || f.Has("dangling") && dangling != (l.users == 0 && !l.builtin) {
			continue
		}
		list = append(list, network.Inspect{Network: l.describe(), Containers: map[string]network.EndpointResource{}})
	}
	slices.SortFunc(list, func(a, b network.Inspect) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func matches(f filter.Args, l *lan) bool {
	kind := "custom"
	if l.builtin {
		kind = "builtin"
	}
	r := &l.record
	return f.Fuzzy("name", r.Name) && f.Prefix("id", r.ID) && f.Exact("driver", r.Driver) && f.Exact("scope", "local") &&
		f.Labels("label", r.Labels) && f.Exact("type", kind)
}

// Inspect returns a network with the containers in it and the use of its addresses. Errors: not found.
func (s *maker) Inspect(_ context.Context, nameOrID string) (*network.Inspect, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.findLocked(nameOrID)
	if err != nil {
		return nil, err
	}
	out := &network.Inspect{Network: l.describe(), Containers: map[string]network.EndpointResource{}, Status: l.status()}
	for id, c := range s.connected {
		e := c.in(l)
		if e == nil {
			continue
		}
		r := network.EndpointResource{Name: c.name, EndpointID: e.settings.EndpointID, MacAddress: e.settings.MacAddress}
		if e.settings.IPAddress.IsValid() {
			r.IPv4Address = netip.PrefixFrom(e.settings.IPAddress, e.settings.IPPrefixLen)
		}
		if e.settings.GlobalIPv6Address.IsValid() {
			r.IPv6Address = netip.PrefixFrom(e.settings.GlobalIPv6Address, e.settings.GlobalIPv6PrefixLen)
		}
		out.Containers[id] = r
	}
	return out, nil
}
