package distribution

import (
	"context"
	"errors"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// transfers are the downloads under way.
type transfers struct {
	svc *Service

	mu     sync.Mutex // guards the rest, and the users of each transfer
	active map[digest.Digest]*transfer
	closed bool
	wait   sync.WaitGroup
}

// transfer fetches one blob for all who want it.
type transfer struct {
	blob  blob
	from  *repository
	users int
	end   context.CancelFunc
	done  chan struct{} // closed when err is set
	err   error

	lease func(context.Context) error // lets go of what was fetched

	mu    sync.Mutex // guards the rest
	lines map[*line]bool
	now   func(*line) // shows the state to a line that comes later
}

// blob is a layer that is to be fetched.
type blob struct {
	desc   ocispec.Descriptor
	diffID digest.Digest // "" for what is not unpacked
}

func newTransfers(s *Service) *transfers {
	return &transfers{svc: s, active: map[digest.Digest]*transfer{}}
}

// fetch returns when the blob is here, kept for the operation of ctx.
func (t *transfers) fetch(ctx context.Context, from *repository, b blob, l *line) error {
	for {
		x, mine, err := t.join(ctx, from, b, l)
		if err != nil {
			return err
		}
		err = t.await(ctx, x, l)
		if err == nil {
			err = t.svc.hold(ctx, b.desc)
		}
		t.leave(x, l)
		if err == nil || mine || ctx.Err() != nil {
			return err
		}
		// Somebody else's registry or credentials have failed; ours may not.
	}
}

// join takes part in the transfer of a blob, and begins it if nobody has.
func (t *transfers) join(ctx context.Context, from *repository, b blob, l *line) (x *transfer, mine bool, err error) {
	for {
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			return nil, false, errors.New("the daemon is stopping")
		}
		x = t.active[b.desc.Digest]
		if x == nil {
			x = t.begin(ctx, from, b)
			mine = true
		}
		if x.users > 0 || mine {
			x.users++
			t.mu.Unlock()
			x.show(l)
			return x, mine, nil
		}
		t.mu.Unlock()
		select { // everybody has left it; its ingest is free when it has ended
		case <-x.done:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// begin starts a transfer. t.mu is held.
func (t *transfers) begin(ctx context.Context, from *repository, b blob) *transfer {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	x := &transfer{blob: b, from: from, end: end, done: make(chan struct{}), lines: map[*line]bool{}, now: func(*line) {}}
	t.active[b.desc.Digest] = x
	t.wait.Add(1)
	go func() {
		defer t.wait.Done()
		defer end()
		x.err = t.svc.run(ctx, x)
		t.mu.Lock()
		delete(t.active, b.desc.Digest)
		t.mu.Unlock()
		close(x.done)
	}()
	return x
}

func (t *transfers) await(ctx context.Context, x *transfer, l *line) error {
	select {
	case <-x.done:
		return x.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave ends the transfer if nobody else takes part.
func (t *transfers) leave(x *transfer, l *line) {
	x.hide(l)
	t.mu.Lock()
	x.users--
	last := x.users == 0
	t.mu.Unlock()
	if !last {
		return
	}
	x.end()
	<-x.done
	if x.lease == nil {
		return
	}
	if err := x.lease(context.Background()); err != nil {
		t.svc.cfg.Log.Warn("lease of a download not removed", "digest", x.blob.desc.Digest, "error", err)
	}
}

// close ends all transfers and waits for them.
func (t *transfers) close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	for _, x := range t.active {
		x.end()
	}
	t.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		t.wait.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell shows all who take part, and those who join later, what happens.
func (x *transfer) tell(what func(*line)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = what
	for l := range x.lines {
		what(l)
	}
}

func (x *transfer) show(l *line) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lines[l] = true
	x.now(l)
}

func (x *transfer) hide(l *line) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.lines, l)
}
