package stdio

import (
	"context"
	"sync"
	"time"
)

// Fan hands the output of one process to its subscribers.
type Fan struct {
	terminal bool
	catchUp  string // directory of catch-up files; "" to hold the process back instead
	buffers  *Buffers

	mu          sync.Mutex
	subscribers []*Subscriber
	ended       bool
	loose       bool
}

// NewFan makes the fan of a process. Frames are written unless it has a terminal. catchUp is the
// directory for what subscribers have yet to read; without one a subscriber that stops reading stops the process.
func NewFan(terminal bool, catchUp string, buffers *Buffers) *Fan {
	return &Fan{terminal: terminal, catchUp: catchUp, buffers: buffers}
}

// Write gives output to everybody who wants the stream.
func (f *Fan) Write(stream byte, p []byte) {
	f.mu.Lock()
	subscribers := f.subscribers // copied when it changes
	f.mu.Unlock()
	for _, s := range subscribers {
		if s.wants(stream) {
			s.offer(stream, p)
		}
	}
}

// add makes s a subscriber; it reports false when the output has ended.
func (f *Fan) add(s *Subscriber) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	f.subscribers = append(append([]*Subscriber{}, f.subscribers...), s)
	s.loose = f.loose // nobody else knows s yet
	return true
}

func (f *Fan) remove(s *Subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rest []*Subscriber
	for _, other := range f.subscribers {
		if other != s {
			rest = append(rest, other)
		}
	}
	f.subscribers = rest
}

// End lets every subscriber read to the end, and then sees its stream end.
func (f *Fan) End() {
	f.mu.Lock()
	f.ended = true
	subscribers := f.subscribers
	f.mu.Unlock()
	for _, s := range subscribers {
		s.end()
	}
}

// farewell is how long clients are given to take what is queued.
const farewell = time.Second

// Wait waits until clients have taken everything after End: those that do not are left to themselves.
func (f *Fan) Wait(ctx context.Context) error {
	limit := time.NewTimer(farewell)
	defer limit.Stop()
	f.mu.Lock()
	subscribers := f.subscribers
	f.mu.Unlock()
	for _, s := range subscribers {
		select {
		case <-s.left:
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Loosen lets clients be behind by any amount, so that nobody waits for them, or undoes that. It is for what
// a process that has ended leaves in its pipes: that is little.
func (f *Fan) Loosen(loose bool) {
	f.mu.Lock()
	f.loose = loose
	subscribers := f.subscribers
	f.mu.Unlock()
	for _, s := range subscribers {
		s.loosen(loose)
	}
}

// Len is how many are subscribed.
func (f *Fan) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.subscribers)
}
