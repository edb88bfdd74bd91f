package network

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"gantry/network/ports"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// connection is a container with its sandbox. Service.mu guards it; what its slices and maps hold is replaced, never changed.
type connection struct {
	id, name  string
	request   Request
	made      bool // false while Connect is at it
	sandboxID string
	key       string // of the sandbox; "" in the host's namespace
	endpoints []*endpoint
	bindings  []*ports.Binding
	ports     network.PortMap
}

// in returns the container's endpoint in a network, nil for none.
func (c *connection) in(l *lan) *endpoint {
	for _, e := range c.endpoints {
		if e.lan == l {
			return e
		}
	}
	return nil
}

// sandbox is the connection as the container room sees it.
func (c *connection) sandbox() *Sandbox {
	sb := &Sandbox{ID: c.sandboxID, Key: c.key, Endpoints: map[string]*network.EndpointSettings{}, Ports: maps.Clone(c.ports)}
	for _, e := range c.endpoints {
		sb.Endpoints[e.lan.record.Name] = e.settings
	}
	return sb
}

// interfaces are the names in use in the sandbox.
func (c *connection) interfaces() []string {
	out := []string{"lo"}
	for _, e := range c.endpoints {
		out = append(out, e.link.Interface)
	}
	return out
}

// enter takes the container's place, until settle fills it or leave gives it up.
func (s *state) enter(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.connected[id]; c != nil {
		return errdefs.ErrConflict.WithMessage("container " + id + " is already connected")
	}
	s.connected[id] = &connection{id: id}
	return nil
}

// settle puts a connection in its place.
func (s *state) settle(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.made = true
	s.connected[c.id] = c
}

func (s *state) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connected, id)
}

// connection returns a copy of that of a container. Errors: not found.
func (s *state) connection(id string) (connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.connected[id]
	if c == nil || !c.made {
		return connection{}, errdefs.ErrNotFound.WithMessage("container " + id + " is not connected to any network")
	}
	return *c, nil
}

// update changes a connection that is in its place.
func (s *state) update(id string, change func(*connection)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.connected[id]; c != nil {
		change(c)
	}
}

// takeDown removes what nobody waits for. The sandbox goes first: the kernel destroys namespaces that nobody is in several at
// a time, interfaces included, while each interface that is removed by itself costs it 20 ms. That is left for
// those which a process still has, such as a container that shares the network of this one.
func (s *connector) takeDown(ctx context.Context, c *connection) {
	if c.key != "" {
		if err := sandbox.Remove(c.key); err != nil {
			slog.Warn("cannot remove sandbox", "container", c.id, "sandbox", c.key, "err", err)
		}
	}
	for _, e := range slices.Backward(c.endpoints) {
		s.unplug(ctx, e, nil)
	}
}
