package network

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"gantry/network/ports"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// wishes are the bindings that a request asks for, in the order of the container's ports; fixed ports before any ports.
// at is where the network publishes them by default, not valid for all of the host's addresses. Errors: invalid argument.
func (s *connector) wishes(r Request, at netip.Addr) ([]ports.Wish, error) {
	wanted := maps.Clone(r.Ports)
	if wanted == nil {
		wanted = network.PortMap{}
	}
	if r.Publish {
		for p := range r.Exposed {
			if len(wanted[p]) == 0 {
				wanted[p] = []network.PortBinding{{}}
			}
		}
	}
	var out []ports.Wish
	for _, p := range sortedPorts(wanted) {
		for _, b := range wanted[p] {
			w, err := s.wish(p, b, at)
			if err != nil {
				return nil, err
			}
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, func(a, b ports.Wish) int { return cmp.Compare(looseness(a), looseness(b)) })
	return out, nil
}

// looseness orders wishes: those with a choice give way to those without.
func looseness(w ports.Wish) int {
	if w.First == 0 {
		return 1 << 16
	}
	return int(w.Last - w.First)
}

func (s *connector) wish(p network.Port, b network.PortBinding, at netip.Addr) (ports.Wish, error) {
	w := ports.Wish{Container: p}
	if b.HostPort != "" {
		hostPorts, err := network.ParsePortRange(b.HostPort)
		if err != nil {
			return w, errdefs.ErrInvalidArgument.WithMessage("invalid port specification: \"" + b.HostPort + "\"")
		}
		w.First, w.Last = hostPorts.Start(), hostPorts.End()
	}
	switch {
	case b.HostIP.IsValid():
		w.Hosts = []netip.Addr{b.HostIP.Unmap()}
	case at.IsValid() && at != netip.IPv4Unspecified():
		w.Hosts = []netip.Addr{at}
	case s.ipv6 && !s.cfg.NoProxy: // it takes forwarding: the containers have no IPv6
		w.Hosts = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	default:
		w.Hosts = []netip.Addr{netip.IPv4Unspecified()}
	}
	return w, nil
}

// portMap shows what was bound; exposed ports without a binding are there with none.
func portMap(r Request, bindings []*ports.Binding) network.PortMap {
	out := network.PortMap{}
	for p := range r.Exposed {
		out[p] = nil
	}
	for _, b := range bindings {
		p, _ := network.PortFrom(b.To.Port(), network.IPProtocol(b.Protocol))
		out[p] = append(out[p], network.PortBinding{HostIP: b.Host.Addr(), HostPort: strconv.Itoa(int(b.Host.Port()))})
	}
	return out
}

func sortedPorts(m network.PortMap) []network.Port {
	return slices.SortedFunc(maps.Keys(m), func(a, b network.Port) int {
		return cmp.Or(cmp.Compare(a.Num(), b.Num()), cmp.Compare(a.Proto(), b.Proto()))
	})
}
