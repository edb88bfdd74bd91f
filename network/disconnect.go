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
func (s *Service) Disconnect(ctx context.Context, containerID string) error {
	s.mu.Lock()
	c := s.connected[containerID]
	delete(s.connected, containerID)
	s.mu.Unlock()
	if c == nil || c.network == "" { // the latter is still being connected: its undoing is Connect's
		return nil
	}
	rules := rulesOf(c.bindings)
	errs := []error{s.publish(ctx, nil, rules), s.allocator.Release(c.bindings)}
	s.forgetFlows(rules)
	fault.Point("network.disconnect.withdrawn")
	if c.address.IsValid() {
		s.subnet.Release(c.address)
	}
	s.background.Go(func() { s.takeDown(c) })
	s.notify(c, s.nets[c.network], events.ActionDisconnect)
	return errors.Join(errs...)
}

// takeDown removes what nobody waits for. The sandbox goes first: the kernel destroys namespaces that nobody is in several at
// a time, interfaces included, while each interface that is removed by itself costs it 20 ms. That is left for
// those which a process still has, such as a container that shares the network of this one.
func (s *Service) takeDown(c *connection) {
	if c.sandbox.Key != "" {
		if err := sandbox.Remove(c.sandbox.Key); err != nil {
			slog.Warn("cannot remove sandbox", "container", c.id, "sandbox", c.sandbox.Key, "err", err)
		}
	}
	if c.veth != "" {
		if err := sandbox.Delete(s.remover, c.veth); err != nil {
			slog.Warn("cannot remove interface", "container", c.id, "interface", c.veth, "err", err)
		}
	}
}

// forgetFlows makes the kernel forget where the senders of datagrams to these ports were led before. A TCP connection ends by
// itself; a stream of datagrams would be led there for as long as it lasts. Some kernels cannot be asked to.
func (s *Service) forgetFlows(all []firewall.Port) {
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
