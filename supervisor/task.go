package supervisor

import (
	"slices"
	"sync"

	"gantry/supervisor/cgroup"
	"gantry/supervisor/enter"
	"gantry/supervisor/process"
	"gantry/task/protocol"
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
	kills  uint64      // of the OOM killer, told
	closed bool        // acknowledged
	room   *enter.Room // nil until the first exec

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
