package network

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Check reports what Connect would refuse, without changing anything: unknown networks, an address outside its
// network. Errors: not found ("network web not found"), invalid argument.
func (s *Service) Check(_ context.Context, r Request) error {
	_, _, err := s.resolve(r)
	if err != nil {
		return err
	}
	_, err = s.wishes(r)
	return err
}

// resolve finds the network that a request is for, and the settings of the endpoint in it, which may be nil.
func (s *Service) resolve(r Request) (*network.Network, *network.EndpointSettings, error) {
	mode := r.Mode
	if mode == "" || mode == network.NetworkDefault {
		mode = network.NetworkBridge
		if s.cfg.Bridge == "none" {
			mode = network.NetworkNone
		}
	}
	n, err := s.find(mode)
	if err != nil {
		return nil, nil, err
	}
	var wanted *network.EndpointSettings
	for _, name := range slices.Sorted(maps.Keys(r.Endpoints)) {
		found := n
		if name != network.NetworkDefault {
			if found, err = s.find(name); err != nil {
				return nil, nil, err
			}
		}
		if found != n {
			return nil, nil, errdefs.ErrInvalidArgument.WithMessage(
				"container cannot be connected to network " + found.Name + ": its network mode is " + n.Name)
		}
		wanted = r.Endpoints[name]
	}
	return n, wanted, checkEndpoint(wanted)
}

// checkEndpoint refuses what the default networks have not.
func checkEndpoint(e *network.EndpointSettings) error {
	if e == nil {
		return nil
	}
	var errs []error
	if e.IPAMConfig != nil && (e.IPAMConfig.IPv4Address.IsValid() || e.IPAMConfig.IPv6Address.IsValid()) {
		errs = append(errs, errors.New("user specified IP address is supported on user defined networks only"))
	}
	if len(e.Aliases) > 0 {
		errs = append(errs, errors.New("network-scoped aliases are only supported for user-defined networks"))
	}
	if len(errs) == 0 {
		return nil
	}
	return errdefs.ErrInvalidArgument.WithMessage("invalid endpoint settings: " + errors.Join(errs...).Error())
}
