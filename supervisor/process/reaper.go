package process

import (
	"context"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// Reaper collects every child of this process, adopted orphans included. No other code in the
// process may wait for children.
type Reaper struct {
	mu       sync.Mutex
	waiting  map[int]chan Status
	early    map[int]Status // ended before they were claimed; kept while spawning > 0
	spawning int
}

// NewReaper returns a reaper; Run makes it work.
func NewReaper() *Reaper {
	return &Reaper{waiting: map[int]chan Status{}, early: map[int]Status{}}
}

// Run collects children until ctx ends.
func (r *Reaper) Run(ctx context.Context) {
	ended := make(chan os.Signal, 1) // SIGCHLD merges: one in the queue says as much as many
	signal.Notify(ended, unix.SIGCHLD)
	defer signal.Stop(ended)
	for {
		r.collect()
		select {
		case <-ctx.Done():
			return
		case <-ended:
		}
	}
}

func (r *Reaper) collect() {
	for {
		var w unix.WaitStatus
		pid, err := unix.Wait4(-1, &w, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		r.ended(pid, statusOf(w))
	}
}

func (r *Reaper) ended(pid int, st Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ch, ok := r.waiting[pid]; ok {
		delete(r.waiting, pid)
		ch <- st
		return
	}
	if r.spawning > 0 {
		r.early[pid] = st
	}
}

// Spawning keeps the statuses of children that nobody has claimed yet, until done is called: a
// process can end before its number is known here.
func (r *Reaper) Spawning() (done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spawning++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.spawning--; r.spawning == 0 {
			clear(r.early)
		}
	})
}

// Claim returns where the status of a child will be told, once. Call it between Spawning and its done.
func (r *Reaper) Claim(pid int) <-chan Status {
	ch := make(chan Status, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if st, ok := r.early[pid]; ok {
		delete(r.early, pid)
		ch <- st
		return ch
	}
	r.waiting[pid] = ch
	return ch
}
