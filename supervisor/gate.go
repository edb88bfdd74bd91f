package supervisor

import (
	"context"
	"sync"
)

// gate lets requests pass until it is closed for an upgrade: those wait outside.
type gate struct {
	mu     sync.Mutex // guards what follows
	inside int
	shut   chan struct{} // nil while open; closed when it opens again
	empty  chan struct{} // closed when the last one has left a gate that is shut
}

// enter waits while the gate is shut. leave must be called.
func (g *gate) enter() (leave func()) {
	for {
		g.mu.Lock()
		if g.shut == nil {
			g.inside++
			g.mu.Unlock()
			return g.leave
		}
		shut := g.shut
		g.mu.Unlock()
		<-shut
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// close shuts the gate and waits until everybody has left, or opens it again when ctx ends.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	if g.shut != nil {
		g.mu.Unlock()
		return context.Canceled // somebody else is at it
	}
	g.shut = make(chan struct{})
	empty := make(chan struct{})
	if g.inside == 0 {
		close(empty)
	} else {
		g.empty = empty
	}
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		g.open()
		return ctx.Err()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut, g.empty = nil, nil
	}
}
