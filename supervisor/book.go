package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// acknowledgeWait is how long Start waits for an ended run of the container to be acknowledged.
const acknowledgeWait = 5 * time.Second

// book knows the tasks by container, and the stdio of containers that have not been started.
type book struct {
	*parts

	mu       sync.Mutex // guards what follows
	tasks    map[string]*task
	prepared map[string]*wires
	catchUp  string // directory for what slow subscribers have yet to read
	closing  bool   // nothing more is begun: gantryd has said Shutdown
}

func newBook(p *parts) *book {
	return &book{parts: p, tasks: map[string]*task{}, prepared: map[string]*wires{}}
}

// insert makes a task known that ran before.
func (b *book) insert(t *task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tasks[t.id()] = t
}

// remove forgets a task, if no other run has taken its place.
func (b *book) remove(t *task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tasks[t.id()] == t {
		delete(b.tasks, t.id())
	}
}

// close lets nothing more begin, if there is no task. It returns how many there are.
func (b *book) close() (tasks int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closing = len(b.tasks) == 0
	return len(b.tasks)
}

// welcome notes what a gantryd says of itself. Errors: unavailable, after close.
func (b *book) welcome(catchUp string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return errClosing
	}
	b.catchUp = catchUp
	return nil
}

func (b *book) catchUpDir() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.catchUp
}

func (b *book) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.tasks)
}

// wiresOf finds the stdio of a process: that of an init process may only have been prepared. e is nil for init.
func (b *book) wiresOf(of protocol.Target) (w *wires, e *execProcess, err error) {
	if of.Exec != "" {
		_, e, err := b.findExec(of.ID, of.Exec)
		if err != nil {
			return nil, nil, err
		}
		return e.wires, e, nil
	}
	b.mu.Lock()
	w = b.prepared[of.ID]
	b.mu.Unlock()
	if w != nil {
		return w, nil, nil
	}
	t, err := b.find(of.ID)
	if err != nil {
		return nil, nil, err
	}
	return t.wires, nil, nil
}

func (b *book) list() []protocol.Task {
	var all []protocol.Task
	for _, t := range b.allTasks() {
		t.mu.Lock()
		hidden := t.closed || t.init == nil && t.exit == nil
		t.mu.Unlock()
		if !hidden {
			all = append(all, t.snapshot())
		}
	}
	return all
}

// forgetPrepared ends what a gantryd that has left prepared and never started.
func (b *book) forgetPrepared() {
	b.mu.Lock()
	forgotten := b.prepared
	b.prepared = map[string]*wires{}
	b.mu.Unlock()
	for id, w := range forgotten {
		b.discard(id, w)
	}
}

// discard ends wires that no process has.
func (b *book) discard(id string, w *wires) {
	if err := errors.Join(w.ends.Close(), w.close()); err != nil {
		b.log.Debug("discard stdio", "container", id, "error", err)
	}
}

func (b *book) allTasks() []*task {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*task, 0, len(b.tasks))
	for _, t := range b.tasks {
		all = append(all, t)
	}
	return all
}

// prepare makes the stdio of a container before it is started.
func (b *book) prepare(p protocol.Prepare) error {
	b.mu.Lock()
	t, w := b.tasks[p.ID], b.prepared[p.ID]
	b.mu.Unlock()
	if w != nil {
		return nil
	}
	if t != nil {
		t.mu.Lock()
		running := t.exit == nil
		t.mu.Unlock()
		if running {
			return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("container %s is running", p.ID))
		}
	}
	w, err := b.wire(p.ID, p.Stdio)
	if err != nil {
		return err
	}
	b.mu.Lock()
	lost := b.prepared[p.ID] != nil
	if !lost {
		b.prepared[p.ID] = w
	}
	b.mu.Unlock()
	if lost {
		b.discard(p.ID, w)
	}
	return nil
}

// forget undoes prepare.
func (b *book) forget(id string) {
	b.mu.Lock()
	w := b.prepared[id]
	delete(b.prepared, id)
	b.mu.Unlock()
	if w != nil {
		b.discard(id, w)
	}
}

// find returns a task that is known. Errors: not found.
func (b *book) find(id string) (*task, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tasks[id]; t != nil {
		return t, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s has no task", id))
}

// findRunning returns a task whose init process has not ended, as far as is known. Errors: not found.
func (b *book) findRunning(id string) (*task, error) {
	t, err := b.find(id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exit != nil || t.init == nil {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s is not running", id))
	}
	return t, nil
}

// findExec returns an exec. Errors: not found.
func (b *book) findExec(id, exec string) (*task, *execProcess, error) {
	t, err := b.find(id)
	if err != nil {
		return nil, nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.execs[exec]; e != nil {
		return t, e, nil
	}
	return nil, nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s has no exec %s", id, exec))
}

// settle waits until the runtime has forgotten the container's last run.
func (b *book) settle(ctx context.Context, id string) error {
	b.mu.Lock()
	t := b.tasks[id]
	b.mu.Unlock()
	if t == nil {
		return nil
	}
	select {
	case <-t.settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reserve makes the task known under its ID, after the last run's remains are gone. Errors: already exists.
func (b *book) reserve(ctx context.Context, t *task) error {
	for {
		b.mu.Lock()
		if b.closing {
			b.mu.Unlock()
			return errClosing
		}
		old := b.tasks[t.id()]
		if old == nil {
			b.tasks[t.id()] = t
			b.mu.Unlock()
			return nil
		}
		b.mu.Unlock()
		old.mu.Lock()
		ended := old.exit != nil
		old.mu.Unlock()
		exists := errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("container %s has a task", t.id()))
		if !ended {
			return exists
		}
		select {
		case <-old.forgotten:
		case <-time.After(acknowledgeWait):
			return exists
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// takePrepared returns the wires that were prepared for a container, or new ones.
func (b *book) takePrepared(id string, conf protocol.Stdio) (*wires, error) {
	b.mu.Lock()
	w := b.prepared[id]
	delete(b.prepared, id)
	b.mu.Unlock()
	if w != nil && w.conf.Terminal == conf.Terminal && w.conf.OpenStdin == conf.OpenStdin {
		return w, nil
	}
	if w != nil {
		b.discard(id, w)
	}
	return b.wire(id, conf)
}

// wire makes the stdio of a container's init process.
func (b *book) wire(id string, conf protocol.Stdio) (*wires, error) {
	w, err := newWires(b.wiringOf(id, "", conf))
	if err == nil {
		w.release()
	}
	return w, err
}

func (b *book) wiringOf(id, exec string, conf protocol.Stdio) wiring {
	w := wiring{
		conf: conf, buffers: &b.buffers,
		stdinClosed: func() { b.teller.dropStdin(protocol.Target{ID: id, Exec: exec}) },
	}
	if exec == "" {
		w.catchUp = b.catchUpDir()
		if w.catchUp == "" {
			w.catchUp = os.TempDir()
		}
	}
	return w
}
