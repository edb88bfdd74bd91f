package volume

import (
	"context"
	"sync"
)

// turns lets one operation at a time work on a name, and the others wait for as long as they want to.
type turns struct {
	mu   sync.Mutex               // guards busy
	busy map[string]chan struct{} // closed when the name is free
}

// take waits for the name. Errors: those of ctx.
func (t *turns) take(ctx context.Context, name string) (release func(), err error) {
	for {
		t.mu.Lock()
		wait := t.busy[name]
		if wait == nil {
			done := make(chan struct{})
			if t.busy == nil {
				t.busy = map[string]chan struct{}{}
			}
			t.busy[name] = done
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.busy, name)
				t.mu.Unlock()
				close(done)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
