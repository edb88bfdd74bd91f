package supervisor

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"gantry/supervisor/process"
	"gantry/supervisor/stdio"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// restorer takes over what the last supervisor left.
type restorer struct {
	*parts
	starter *starter
	spawned func() // ends the reaper's care for children of before an upgrade

	mu     sync.Mutex // guards what follows
	fresh  bool       // records have not been read yet
	handed map[protocol.Target]map[string]*os.File
	rests  map[protocol.Target]map[string]stdio.Unread
}

func newRestorer(p *parts, s *starter) *restorer {
	return &restorer{
		parts: p, starter: s, spawned: p.reaper.Spawning(), fresh: true,
		handed: map[protocol.Target]map[string]*os.File{}, rests: map[protocol.Target]map[string]stdio.Unread{},
	}
}

// inherit notes what the last program in this process had of a container's process.
func (re *restorer) inherit(of protocol.Target, files map[string]*os.File, rests map[string]stdio.Unread) {
	re.mu.Lock()
	defer re.mu.Unlock()
	re.handed[of], re.rests[of] = files, rests
}

// waiting reports whether nothing has been taken over yet.
func (re *restorer) waiting() bool {
	re.mu.Lock()
	defer re.mu.Unlock()
	return re.fresh
}

func take(handed map[protocol.Target]map[string]*os.File, of protocol.Target) map[string]*os.File {
	files := handed[of]
	delete(handed, of)
	if files == nil {
		files = map[string]*os.File{}
	}
	return files
}

// adopt takes hold of a process by the pidfd that was handed back, or by its number.
func adopt(pid int, ticks uint64, files map[string]*os.File) (*process.Process, error) {
	if f := files[protocol.FileProcess]; f != nil {
		return process.Adopt(pid, ticks, f), nil
	}
	return process.Reopen(pid, ticks)
}

// restoreFiles takes descriptors back from gantryd. They are used by ready.
func (re *restorer) restoreFiles(h protocol.Held, files []*os.File) error {
	re.mu.Lock()
	defer re.mu.Unlock()
	if !re.fresh || len(h.Names) != len(files) {
		return errors.Join(errdefs.ErrFailedPrecondition.WithMessage("nothing is to be restored"), protocol.CloseAll(files))
	}
	byName := map[string]*os.File{}
	for i, name := range h.Names {
		byName[name] = files[i]
	}
	re.handed[h.Target] = byName
	return nil
}

// ready takes over what the last supervisor left: its records, and the descriptors that were handed back.
func (re *restorer) ready(ctx context.Context) {
	re.mu.Lock()
	fresh, handed, rests := re.fresh, re.handed, re.rests
	re.fresh, re.handed, re.rests = false, nil, nil
	re.mu.Unlock()
	if !fresh {
		return
	}
	defer re.spawned() // from here on, children that nobody knows may be forgotten
	records, err := re.store.all()
	if err != nil {
		re.log.Error("tasks of the last supervisor are lost", "error", err)
	}
	for _, r := range records {
		re.restoreTask(ctx, r, handed, rests[protocol.Target{ID: r.ID, Run: r.Run}])
	}
	for of, files := range handed {
		re.log.Debug("descriptors of an unknown task", "container", of.ID, "exec", of.Exec)
		for _, f := range files {
			if err := f.Close(); err != nil {
				re.log.Debug("close descriptor", "error", err)
			}
		}
	}
	for _, t := range re.book.allTasks() {
		re.teller.keepTask(re.teller.current(), t)
	}
}

// restoreTask goes on with one container.
func (re *restorer) restoreTask(ctx context.Context, r record, handed map[protocol.Target]map[string]*os.File, rests map[string]stdio.Unread) {
	files := take(handed, protocol.Target{ID: r.ID, Run: r.Run})
	w := restoredWires(re.book.wiringOf(r.ID, "", r.Stdio), files, rests)
	w.release()
	t := newTask(r, w)
	re.book.insert(t)
	if r.Phase == phaseStarting {
		// Whether the runtime got anywhere is not known; gantryd was told that the start failed.
		re.starter.startFailed(ctx, t)
		return
	}
	re.lives.watch(t)
	p, err := adopt(r.Pid, r.Ticks, files)
	t.init = p
	if exit := readExit(r.ExitFile, r.Run); exit != nil {
		re.endedBefore(t, *exit)
		return
	}
	if err != nil {
		st := process.Unknown()
		re.endedBefore(t, protocol.Exit{ID: r.ID, Run: r.Run, Code: st.Code, Unknown: true, OOM: re.lives.struckByOOM(t), At: time.Now().UTC()})
		return
	}
	ended := re.reaper.FollowHeld(context.Background(), p)
	re.resumeLog(t)
	for id, e := range r.Execs {
		re.restoreExec(t, id, e, handed)
	}
	if t.oom != nil {
		if n, err := t.oom.Kills(); err == nil {
			t.kills = n // those were told
		}
		go re.lives.followOOM(t)
	}
	go re.lives.followTask(t, ended)
	re.log.Info("took over a container", "container", r.ID, "pid", r.Pid)
}

// endedBefore goes on with a task that ended while nobody, or the last supervisor, was looking.
func (re *restorer) endedBefore(t *task, exit protocol.Exit) {
	re.resumeLog(t)
	go func() {
		re.lives.flush(t.wires)
		re.lives.taskEnded(t, exit, func() {})
	}()
}

// resumeLog opens the log again and says in it what is missing.
func (re *restorer) resumeLog(t *task) {
	log, err := re.lives.openLog(t)
	if err != nil {
		re.log.Error("log of container is not written any more", "container", t.id(), "error", err)
	}
	if t.wires.lost() {
		re.log.Warn("output of container cannot be read any more: both supervisor and gantryd were killed", "container", t.id())
		if log != nil {
			lines := log.Lines("stderr")
			defer lines.Flush()
			lines.Write([]byte("gantry-supervisor: the container's output is lost from here on: supervisor and daemon were killed together\n"))
		}
	}
	t.wires.begin(log)
}

func (re *restorer) restoreExec(t *task, id string, r execRecord, handed map[protocol.Target]map[string]*os.File) {
	of := protocol.Target{ID: t.id(), Run: t.run(), Exec: id}
	files := take(handed, of)
	e := &execProcess{id: id, record: r, told: make(chan struct{})}
	e.wires = restoredWires(re.book.wiringOf(of.ID, id, r.Stdio), files, nil)
	p, err := adopt(r.Pid, r.Ticks, files)
	if err != nil {
		re.book.discard(of.ID, e.wires)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.record.Untold = append(t.record.Untold, protocol.Exit{
			ID: of.ID, Run: of.Run, ExecID: id, Code: process.Unknown().Code, Unknown: true, At: time.Now().UTC(),
		})
		return
	}
	e.process = p
	t.mu.Lock()
	t.execs[id] = e
	t.mu.Unlock()
	ended := re.reaper.FollowHeld(context.Background(), p)
	e.wires.begin(nil)
	if r.Attached || r.Stdio.Detached {
		e.wires.release()
	}
	go re.lives.followExec(t, e, ended)
}
