package task

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"gantry/task/protocol"
)

// resolvers are the responders for name queries that the supervisor is to have: the next one is told of them too.
type resolvers struct {
	mu     sync.Mutex
	wanted map[string]protocol.Resolve // by sandbox
}

func (r *resolvers) keep(q protocol.Resolve) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted == nil {
		r.wanted = map[string]protocol.Resolve{}
	}
	r.wanted[q.Sandbox] = q
}

func (r *resolvers) drop(sandbox string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.wanted, sandbox)
}

func (r *resolvers) all() []protocol.Resolve {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.wanted))
}

// responders is the part of the service that looks after name service.
type responders struct{ client *client }

// Resolve gives a sandbox the responder for its name queries, or an existing one another table, and returns the ports at which it
// listens. It lives until Unresolve, and is opened again at the same ports by the next supervisor. Table and ports are those of
// package network/dns. Idempotent.
func (s *responders) Resolve(ctx context.Context, sandbox, netns string, table json.RawMessage) (ports json.RawMessage, err error) {
	q := protocol.Resolve{Sandbox: sandbox, Netns: netns, Table: table}
	if err := s.client.ask(ctx, protocol.OpResolve, q, &ports); err != nil {
		return nil, err
	}
	q.Ports = ports
	s.client.resolvers.keep(q)
	return ports, nil
}

// Unresolve ends a responder. One that is not there is not an error.
func (s *responders) Unresolve(ctx context.Context, sandbox string) error {
	s.client.resolvers.drop(sandbox)
	return s.client.ask(ctx, protocol.OpUnresolve, protocol.Resolve{Sandbox: sandbox}, nil)
}

// SettleResolvers ends the responders that nobody has asked for since this process began: their sandboxes ended while no gantryd was
// there.
func (s *responders) SettleResolvers(ctx context.Context) error {
	var wanted []string
	for _, q := range s.client.resolvers.all() {
		wanted = append(wanted, q.Sandbox)
	}
	return s.client.ask(ctx, protocol.OpRetain, protocol.Retain{Sandboxes: wanted}, nil)
}

// resolveAgain tells a supervisor of the responders that it is to have.
func (c *client) resolveAgain(ctx context.Context, l *link) {
	for _, q := range c.resolvers.all() {
		if _, _, err := l.call(ctx, protocol.OpResolve, q); err != nil {
			c.log.Error("names are not resolved", "sandbox", q.Sandbox, "error", err)
		}
	}
}
