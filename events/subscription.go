package events

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// subscription is one reader of the journal, with the events that it has yet to take.
type subscription struct {
	journal *Journal
	query   Query
	wake    chan struct{} // holds at most one notice that the queue has changed

	// Guarded by the journal's mu.
	queue  []*events.Message
	ended  bool        // nothing more is queued
	err    error       // why it was ended
	forget func() bool // stops waiting for the context; nil when nobody does
}

// offer queues an event that matches. It is called with the journal's mu held.
func (s *subscription) offer(m *events.Message) {
	if s.ended || !s.query.matches(m) {
		return
	}
	if len(s.queue) >= maxBehind {
		s.end(errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("the reader of events is more than %d events behind", maxBehind)))
		return
	}
	s.queue = append(s.queue, m)
	s.notify()
}

// end is called with the journal's mu held.
func (s *subscription) end(err error) {
	if !s.ended {
		s.ended, s.err = true, err
	}
	delete(s.journal.subscribers, s)
	if s.forget != nil {
		s.forget()
	}
	s.notify()
}

func (s *subscription) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *subscription) unsubscribe() {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.end(nil)
}

// take empties the queue.
func (s *subscription) take() (queue []*events.Message, ended bool, err error) {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	queue, s.queue = s.queue, nil
	return queue, s.ended, s.err
}

func (s *subscription) run(ctx context.Context, yield func(events.Message, error) bool) {
	defer s.unsubscribe()
	var until <-chan time.Time
	if !s.query.Until.IsZero() {
		timer := time.NewTimer(time.Until(s.query.Until))
		defer timer.Stop()
		until = timer.C
	}
	for {
		queue, ended, err := s.take()
		for _, m := range queue {
			if ctx.Err() != nil || !yield(*m, nil) {
				return
			}
		}
		if ended {
			if err != nil {
				yield(events.Message{}, err)
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-until:
			s.unsubscribe() // once more: what came before it
		case <-s.wake:
		}
	}
}
