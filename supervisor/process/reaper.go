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
	owed     int // statuses that were told and are not dealt with
	paused   bool
	dealt    chan struct{} // closed when owed has come to 0; nil if nobody waits for that
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
	for r.collectOne() {
	}
}

// collectOne takes one child that has ended, and makes its status known in the same breath: under the lock a child is
// either there, or its status is.
func (r *Reaper) collectOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paused {
		return false
	}
	var w unix.WaitStatus
	pid, err := unix.Wait4(-1, &w, unix.WNOHANG, nil)
	if err == unix.EINTR {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if ch, ok := r.waiting[pid]; ok {
		delete(r.waiting, pid)
		r.owed++
		ch <- statusOf(w)
	} else if r.spawning > 0 {
		r.early[pid] = statusOf(w)
	}
	return true
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

// Dealt says that a status that was told is on record: the process may be replaced (Pause).
func (r *Reaper) Dealt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owed--; r.owed == 0 && r.dealt != nil {
		close(r.dealt)
		r.dealt = nil
	}
}

// Pause stops collecting and waits until every status that was told is dealt with: a status that was collected
// and not recorded would be lost to the next program in this process.
func (r *Reaper) Pause(ctx context.Context) (resume func(), err error) {
	r.mu.Lock()
	r.paused = true
	dealt := make(chan struct{})
	if r.owed == 0 {
		close(dealt)
	} else {
		r.dealt = dealt
	}
	r.mu.Unlock()
	resume = func() {
		r.mu.Lock()
		r.paused = false
		r.mu.Unlock()
		r.collect()
	}
	select {
	case <-dealt:
		return resume, nil
	case <-ctx.Done():
		resume()
		return nil, ctx.Err()
	}
}

// Claim returns where the status of a child will be told, once; Dealt is to follow. Call it between Spawning and its done.
func (r *Reaper) Claim(pid int) <-chan Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.claim(pid)
}

// claim needs the lock.
func (r *Reaper) claim(pid int) <-chan Status {
	ch := make(chan Status, 1)
	if st, ok := r.early[pid]; ok {
		delete(r.early, pid)
		r.owed++
		ch <- st
		return ch
	}
	r.waiting[pid] = ch
	return ch
}

// Follow takes hold of a process, and returns where its status will be told, once (Dealt is to follow): of a child that has been
// collected already, or of anybody else's. Call it between Spawning and its done. Errors: not found, when it has ended
// and was nobody that the reaper collected.
func (r *Reaper) Follow(ctx context.Context, pid int) (*Process, <-chan Status, error) {
	p, err := Open(pid)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, known := r.early[pid]; !known {
			return nil, nil, err
		}
		return &Process{Pid: pid}, r.claim(pid), nil
	}
	return p, r.FollowHeld(ctx, p), nil
}

// FollowHeld is Follow for a process that is held already.
func (r *Reaper) FollowHeld(ctx context.Context, p *Process) <-chan Status {
	r.mu.Lock()
	_, early := r.early[p.Pid]
	st, err := readStat(p.Pid)
	if early || err == nil && st.ticks == p.Ticks && st.parent == os.Getpid() {
		defer r.mu.Unlock()
		return r.claim(p.Pid)
	}
	r.mu.Unlock()
	ended := make(chan Status, 1)
	go func() {
		st, err := p.waitAdopted(ctx)
		if err != nil {
			st = Unknown()
		}
		r.mu.Lock()
		r.owed++
		r.mu.Unlock()
		ended <- st
	}()
	return ended
}
