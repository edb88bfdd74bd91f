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

	mu      sync.Mutex // guards pending
	pending []string   // keys in the driver
}

// startReaper starts the reaper: its first work is the orphans of earlier daemons and one collection.
func startReaper(s *Service, orphans []string) *reaper {
	ctx, cancel := context.WithCancel(s.Context(context.Background()))
	r := &reaper{s: s, wake: make(chan struct{}, 1), done: make(chan struct{}), cancel: cancel, pending: orphans}
	go r.run(ctx)
	return r
}

func (r *reaper) run(ctx context.Context) {
	defer close(r.done)
	r.reap(ctx)
	if err := r.collect(ctx); err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "collecting unused content and snapshots", "error", err)
	}
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
		r.reap(ctx)
	}
}

// add queues a key of the driver whose metadata is gone.
func (r *reaper) add(key string) {
	r.mu.Lock()
	r.pending = append(r.pending, key)
	r.mu.Unlock()
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
