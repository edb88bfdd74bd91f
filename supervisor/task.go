package supervisor

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"gantry/supervisor/cgroup"
	"gantry/supervisor/process"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// task is one run of a container, from Start until it is acknowledged and nothing is left of it.
type task struct {
	wires *wires
	init  *process.Process // nil while starting
	group *cgroup.Group    // nil where it is not known
	oom   cgroup.OOM       // nil where it cannot be watched

	saving saving

	mu     sync.Mutex // guards what follows
	record record
	execs  map[string]*execProcess
	exit   *protocol.Exit
	kills  uint64 // of the OOM killer, told
	closed bool   // acknowledged

	settled   chan struct{} // closed when the runtime has forgotten it
	told      chan struct{} // closed when gantryd has dealt with the exit
	toldOnce  sync.Once
	forgotten chan struct{} // closed when nothing is left
}

func newTask(r record, w *wires) *task {
	return &task{
		record: r, wires: w, execs: map[string]*execProcess{},
		settled: make(chan struct{}), told: make(chan struct{}), forgotten: make(chan struct{}),
	}
}

// execProcess is one further process of a task.
type execProcess struct {
	id      string
	record  execRecord
	wires   *wires
	process *process.Process // nil while starting; guarded by the task's lock, as are record and ended
	ended   bool
	told    chan struct{} // closed when gantryd has dealt with the exit
	once    sync.Once
}

func (t *task) id() string  { return t.record.ID } // never changes, as Run
func (t *task) run() uint64 { return t.record.Run }

func (t *task) target() protocol.Target { return protocol.Target{ID: t.id(), Run: t.run()} }

func (e *execProcess) target(t *task) protocol.Target {
	return protocol.Target{ID: t.id(), Run: t.run(), Exec: e.id}
}

// snapshot is what gantryd is told of the task.
func (t *task) snapshot() protocol.Task {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := protocol.Task{
		ID: t.record.ID, Run: t.record.Run, Pid: t.record.Pid, Started: t.record.Started, Paused: t.record.Paused,
		Exited: t.exit, Untold: slices.Clone(t.record.Untold),
	}
	for id, e := range t.execs {
		if !e.ended && e.process != nil {
			out.Execs = append(out.Execs, id)
		}
	}
	slices.Sort(out.Execs)
	return out
}

// save writes the record as it is now.
func (s *Supervisor) save(t *task) error {
	t.saving.mu.Lock()
	defer t.saving.mu.Unlock()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	r := t.record
	r.Execs = map[string]execRecord{}
	for id, e := range t.execs {
		if !e.ended {
			r.Execs[id] = e.record
		}
	}
	r.Untold = slices.Clone(r.Untold)
	t.mu.Unlock()
	return s.store.write(r)
}

// find returns a task that is known. Errors: not found.
func (s *Supervisor) find(id string) (*task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[id]; t != nil {
		return t, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s has no task", id))
}

// findRunning returns a task whose init process has not ended, as far as is known. Errors: not found.
func (s *Supervisor) findRunning(id string) (*task, error) {
	t, err := s.find(id)
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
func (s *Supervisor) findExec(id, exec string) (*task, *execProcess, error) {
	t, err := s.find(id)
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

// keepTask gives gantryd copies of everything that a task holds.
func (s *Supervisor) keepTask(to *session, t *task) {
	t.mu.Lock()
	init, execs := t.init, slices.Collect(maps.Values(t.execs))
	t.mu.Unlock()
	s.keep(to, t.target(), t.wires, init)
	for _, e := range execs {
		s.keepExec(to, t, e)
	}
}

func (s *Supervisor) keepExec(to *session, t *task, e *execProcess) {
	t.mu.Lock()
	p := e.process
	t.mu.Unlock()
	s.keep(to, e.target(t), e.wires, p)
}

// keep gives gantryd copies of a process's descriptors. p may be nil.
func (s *Supervisor) keep(to *session, of protocol.Target, w *wires, p *process.Process) {
	if to == nil {
		return
	}
	names, files := w.files()
	if p != nil && p.File() != nil {
		names, files = append(names, protocol.FileProcess), append(files, p.File())
	}
	to.notice(protocol.OpKeep, protocol.Held{Target: of, Names: names}, files...)
	if slices.Contains(names, protocol.FileStdin) && w.stdin.File() == nil {
		// It was closed meanwhile, and that may have been said first.
		s.dropStdin(of)
	}
}

// dropStdin makes gantryd close its copy: the process sees the end when the last one is closed.
func (s *Supervisor) dropStdin(of protocol.Target) {
	s.current().notice(protocol.OpDrop, protocol.Held{Target: of, Names: []string{protocol.FileStdin}})
}

// drop makes gantryd close all its copies of a process's descriptors.
func (s *Supervisor) drop(of protocol.Target) {
	s.current().notice(protocol.OpDrop, protocol.Held{Target: of})
}

// settle waits until the runtime has forgotten the container's last run.
func (s *Supervisor) settle(ctx context.Context, id string) error {
	s.mu.Lock()
	t := s.tasks[id]
	s.mu.Unlock()
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

// acknowledgeWait is how long Start waits for an ended run of the container to be acknowledged.
const acknowledgeWait = 5 * time.Second

// reserve makes the task known under its ID, after the last run's remains are gone. Errors: already exists.
func (s *Supervisor) reserve(ctx context.Context, t *task) error {
	for {
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			return errClosing
		}
		old := s.tasks[t.id()]
		if old == nil {
			s.tasks[t.id()] = t
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
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
func (s *Supervisor) takePrepared(id string, conf protocol.Stdio) (*wires, error) {
	s.mu.Lock()
	w := s.prepared[id]
	delete(s.prepared, id)
	s.mu.Unlock()
	if w != nil && w.conf.Terminal == conf.Terminal && w.conf.OpenStdin == conf.OpenStdin {
		return w, nil
	}
	if w != nil {
		s.discard(id, w)
	}
	return s.wire(id, conf)
}

// wire makes the stdio of a container's init process.
func (s *Supervisor) wire(id string, conf protocol.Stdio) (*wires, error) {
	w, err := newWires(s.wiringOf(id, "", conf))
	if err == nil {
		w.release()
	}
	return w, err
}

func (s *Supervisor) wiringOf(id, exec string, conf protocol.Stdio) wiring {
	w := wiring{
		conf: conf, buffers: &s.buffers,
		stdinClosed: func() { s.dropStdin(protocol.Target{ID: id, Exec: exec}) },
	}
	if exec == "" {
		s.mu.Lock()
		w.catchUp = s.catchUp
		s.mu.Unlock()
		if w.catchUp == "" {
			w.catchUp = os.TempDir()
		}
	}
	return w
}
