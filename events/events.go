// Package events is the journal of what happened: every subscriber sees every
// event in order, and the last ones can be replayed.
//
// An event is told by its type (what kind of thing), its action (what happened
// to it) and its actor (which one). The journal is in memory: it begins with the daemon.
package events

import (
	"context"
	"iter"
	"maps"
	"sync"
	"time"

	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

const (
	// defaultRetain is how many events dockerd replays.
	defaultRetain = 256

	// maxBehind is how many events a subscriber may be behind. A prune of thousands of containers
	// is a burst that a client on a slow link has to survive; an entry is a pointer.
	maxBehind = 16 << 10
)

// Config says how the journal is kept.
type Config struct {
	Retain int // events that can be replayed; 0 for 256, as dockerd keeps
}

// Journal is the event bus of a daemon. Safe for concurrent use.
type Journal struct {
	mu          sync.Mutex // guards what follows, and the queues of the subscriptions
	retained    []*events.Message
	oldest      int // index in retained, once it is full
	size        int // of retained when it is full
	subscribers map[*subscription]struct{}
	published   uint64
	closed      bool
}

// Open makes an empty journal.
func Open(_ context.Context, cfg Config) (*Journal, error) {
	size := cfg.Retain
	if size <= 0 {
		size = defaultRetain
	}
	return &Journal{size: size, subscribers: map[*subscription]struct{}{}}, nil
}

// Close ends all subscriptions, without an error for them.
func (j *Journal) Close(context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	for s := range j.subscribers {
		s.end(nil)
	}
	return nil
}

// Publish tells all subscribers and never blocks on one of them.
func (j *Journal) Publish(typ events.Type, action events.Action, actor events.Actor) {
	m := &events.Message{
		Type: typ, Action: action, Scope: "local",
		Actor: events.Actor{ID: actor.ID, Attributes: maps.Clone(actor.Attributes)},
	}
	if m.Actor.Attributes == nil {
		m.Actor.Attributes = map[string]string{} // an object to clients, never null
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// Within the lock, so that the order of times is that of the events.
	now := time.Now()
	m.Time, m.TimeNano = now.Unix(), now.UnixNano()
	j.published++
	j.retain(m)
	for s := range j.subscribers {
		s.offer(m)
	}
}

// Published is the number of events since the start.
func (j *Journal) Published() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.published
}

// retain is called with mu held.
func (j *Journal) retain(m *events.Message) {
	if len(j.retained) < j.size {
		j.retained = append(j.retained, m)
		return
	}
	j.retained[j.oldest] = m
	j.oldest = (j.oldest + 1) % j.size
}

// Query selects events. Since and Until are zero for no bound; with an Until
// in the past, only the journal is read.
type Query struct {
	Since, Until time.Time
	Filters      filter.Args
}

// Subscribe yields the journal's matching events and then, until ctx ends or
// Until is reached, the new ones: all from the moment that Subscribe returns. The journal is replayed when one of the bounds is
// given. A subscriber that falls too far behind is ended with an error. The sequence is read once; the
// subscription ends with it, or with ctx. Messages are shared: a reader does not change the attributes.
// Errors: invalid argument (Until before Since).
func (j *Journal) Subscribe(ctx context.Context, q Query) (iter.Seq2[events.Message, error], error) {
	if !q.Until.IsZero() && q.Until.Before(q.Since) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("`since` time cannot be after `until` time")
	}
	s := &subscription{journal: j, query: q, wake: make(chan struct{}, 1)}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !q.Since.IsZero() || !q.Until.IsZero() {
		for i := range j.retained {
			s.offer(j.retained[(j.oldest+i)%len(j.retained)])
		}
	}
	if j.closed || !q.Until.IsZero() && !q.Until.After(time.Now()) {
		s.end(nil)
	} else {
		j.subscribers[s] = struct{}{}
		s.forget = context.AfterFunc(ctx, s.unsubscribe)
	}
	return func(yield func(events.Message, error) bool) { s.run(ctx, yield) }, nil
}

// Subscribers is the number of open subscriptions.
func (j *Journal) Subscribers() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.subscribers)
}
