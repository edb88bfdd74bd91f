package network

import (
	"context"
	"errors"
	"log/slog"

	"gantry/internal/fault"
	"gantry/network/firewall"
	"gantry/network/sandbox"

	"github.com/moby/moby/api/types/events"
)

// Disconnect takes a container's sandbox down. Ports and addresses are free when it returns; the slow
// rest (veths) goes on in the background. One that is not connected is not an error.
func (s *connector) Disconnect(ctx context.Context, containerID string) error {
	s.mu.Lock()
	c := s.connected[containerID]
	if c == nil || !c.made { // the latter is still being connected: its undoing is Connect's
		s.mu.Unlock()
		return nil
	}
	delete(s.connected, containerID)
	s.mu.Unlock()
	rules := rulesOf(c.bindings)
	errs := []error{s.rules.publish(ctx, nil, rules), s.allocator.Release(c.bindings)}
	s.forgetFlows(rules)
	fault.Point("network.disconnect.withdrawn")
	for _, e := range c.endpoints {
		e.releaseAddresses()
		s.unuse(e.lan)
	}
	errs = append(errs, s.names.unresolve(ctx, c), s.names.resolveNames(ctx, c.endpoints...))
	s.background.Go(func() { s.takeDown(context.WithoutCancel(ctx), c) })
	for _, e := range c.endpoints {
		s.tell(e.lan, events.ActionDisconnect, map[string]string{"container": c.id})
	}
	return errors.Join(errs...)
}

// forgetFlows makes the kernel forget where the senders of datagrams to these ports were led before. A TCP connection ends by
// itself; a stream of datagrams would be led there for as long as it lasts. Some kernels cannot be asked to.
func (s *state) forgetFlows(all []firewall.Port) {
	flows := sandbox.Flows{}
	for _, p := range all {
		if p.Protocol == "udp" {
			flows[p.Host.Port()] = struct{}{}
		}
	}
	if len(flows) == 0 || s.cfg.NoFirewall {
		return
	}
	if err := flows.Forget(s.host); err != nil {
		slog.Warn("datagrams of earlier senders may go astray for a while", "err", err)
	}
}
