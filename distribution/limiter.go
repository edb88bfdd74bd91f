package distribution

import (
	"context"
	"slices"
	"sync"
)

// limiter admits a number of users at a time, in the order in which they came. The number may change.
type limiter struct {
	mu      sync.Mutex // guards the rest
	size    int
	used    int
	waiting []chan struct{}
}

func newLimiter() *limiter { return &limiter{} }

func (l *limiter) resize(size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size = size
	l.admit()
}

// acquire waits for a place. waits is called before that, if there is none.
func (l *limiter) acquire(ctx context.Context, waits func()) error {
	l.mu.Lock()
	if l.used < l.size && len(l.waiting) == 0 {
		l.used++
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	waits()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := slices.Index(l.waiting, turn); n >= 0 {
		l.waiting = slices.Delete(l.waiting, n, n+1)
		return ctx.Err()
	}
	l.used-- // admitted at the same moment
	l.admit()
	return ctx.Err()
}

func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used--
	l.admit()
}

func (l *limiter) admit() {
	for l.used < l.size && len(l.waiting) > 0 {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.used++
	}
}
