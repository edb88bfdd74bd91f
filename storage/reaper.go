package storage

import (
	"context"
	"errors"
	"log/slog"
	"sort"
	"sync"
	"time"
)

// reapDelay gathers removals that come close together: they share a scan of
// the snapshots, and none of it competes with the start of the next container.
const reapDelay = 200 * time.Millisecond

// reaper deletes in the background what the metadata no longer names.
type reaper struct {
	s       *Service
	wake    chan struct{}
	done    chan struct{}
	cancel  context.CancelFunc
	working sync.Mutex // held while snapshots are removed from the driver

	mu      sync.Mutex // guards the fields below
	pending []string   // keys in the driver
	garbage bool       // a collection is wanted
}

// startReaper starts the reaper: its first work is the orphans of earlier daemons and one collection.
func startReaper(s *Service, orphans []string) *reaper {
	ctx, cancel := context.WithCancel(s.Context(context.Background()))
	r := &reaper{s: s, wake: make(chan struct{}, 1), done: make(chan struct{}), cancel: cancel, pending: orphans, garbage: true}
	go r.run(ctx)
	return r
}

func (r *reaper) run(ctx context.Context) {
	defer close(r.done)
	r.work(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reapDelay):
		}
		r.work(ctx)
	}
}

func (r *reaper) work(ctx context.Context) {
	r.mu.Lock()
	garbage := r.garbage
	r.garbage = false
	r.mu.Unlock()
	if !garbage {
		r.reap(ctx)
		return
	}
	if err := r.collect(ctx); err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "collecting unused content and snapshots", "error", err)
	}
}

// add queues a key of the driver whose metadata is gone.
func (r *reaper) add(key string) {
	r.mu.Lock()
	r.pending = append(r.pending, key)
	r.mu.Unlock()
	r.signal()
}

// collectSoon queues a collection.
func (r *reaper) collectSoon() {
	r.mu.Lock()
	r.garbage = true
	r.mu.Unlock()
	r.signal()
}

func (r *reaper) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reaper) reap(ctx context.Context) {
	r.working.Lock()
	defer r.working.Unlock()
	r.mu.Lock()
	keys := r.pending
	r.pending = nil
	r.mu.Unlock()
	if err := r.s.removeFromDriver(ctx, keys); err != nil && ctx.Err() == nil {
		// They are found again when the storage is opened next.
		slog.WarnContext(ctx, "deleting removed snapshots", "snapshots", keys, "error", err)
	}
}

// collect empties the queue and collects garbage.
func (r *reaper) collect(ctx context.Context) error {
	r.reap(ctx)
	r.working.Lock()
	defer r.working.Unlock()
	ctx = r.s.Context(ctx)
	r.s.collecting.Lock()
	_, err := r.s.db.GarbageCollect(ctx)
	r.s.collecting.Unlock()
	return errors.Join(err, r.s.driver.Cleanup(ctx))
}

// stop ends the reaper. What it has not deleted is deleted after the next Open.
func (r *reaper) stop(ctx context.Context) error {
	r.cancel()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sortByDescending(names []string, by func(string) int) {
	sort.Slice(names, func(i, j int) bool { return by(names[i]) > by(names[j]) })
}
