package supervisor

import (
	"context"
	"errors"
	"os"
	"time"

	"gantry/supervisor/process"
	"gantry/supervisor/stdio"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// restoreFiles takes descriptors back from gantryd. They are used by ready.
func (s *Supervisor) restoreFiles(h protocol.Held, files []*os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fresh || len(h.Names) != len(files) {
		return errors.Join(errdefs.ErrFailedPrecondition.WithMessage("nothing is to be restored"), protocol.CloseAll(files))
	}
	byName := map[string]*os.File{}
	for i, name := range h.Names {
		byName[name] = files[i]
	}
	s.handed[h.Target] = byName
	return nil
}

// ready takes over what the last supervisor left: its records, and the descriptors that were handed back.
func (s *Supervisor) ready(ctx context.Context) {
	s.mu.Lock()
	fresh, handed, rests := s.fresh, s.handed, s.rests
	s.fresh, s.handed, s.rests = false, nil, nil
	s.mu.Unlock()
	if !fresh {
		return
	}
	defer s.spawned() // from here on, children that nobody knows may be forgotten
	records, err := s.store.all()
	if err != nil {
		s.log.Error("tasks of the last supervisor are lost", "error", err)
	}
	for _, r := range records {
		s.restoreTask(ctx, r, handed, rests[protocol.Target{ID: r.ID, Run: r.Run}])
	}
	for of, files := range handed {
		s.log.Debug("descriptors of an unknown task", "container", of.ID, "exec", of.Exec)
		for _, f := range files {
			if err := f.Close(); err != nil {
				s.log.Debug("close descriptor", "error", err)
			}
		}
	}
	for _, t := range s.allTasks() {
		s.keepTask(s.current(), t)
	}
}

func take(handed map[protocol.Target]map[string]*os.File, of protocol.Target) map[string]*os.File {
	files := handed[of]
	delete(handed, of)
	if files == nil {
		files = map[string]*os.File{}
	}
	return files
}

// restoreTask goes on with one container.
func (s *Supervisor) restoreTask(ctx context.Context, r record, handed map[protocol.Target]map[string]*os.File, rests map[string]stdio.Unread) {
	files := take(handed, protocol.Target{ID: r.ID, Run: r.Run})
	w := restoredWires(s.wiringOf(r.ID, "", r.Stdio), files, rests)
	w.release()
	t := newTask(r, w)
	s.mu.Lock()
	s.tasks[r.ID] = t
	s.mu.Unlock()
	if r.Phase == phaseStarting {
		// Whether the runtime got anywhere is not known; gantryd was told that the start failed.
		s.startFailed(ctx, t)
		return
	}
	s.watch(t)
	p, err := adopt(r.Pid, r.Ticks, files)
	t.init = p
	if exit := readExit(r.ExitFile, r.Run); exit != nil {
		s.endedBefore(t, *exit)
		return
	}
	if err != nil {
		st := process.Unknown()
		s.endedBefore(t, protocol.Exit{ID: r.ID, Run: r.Run, Code: st.Code, Unknown: true, OOM: s.struckByOOM(t), At: time.Now().UTC()})
		return
	}
	ended := s.reaper.FollowHeld(context.Background(), p)
	s.resumeLog(t)
	for id, e := range r.Execs {
		s.restoreExec(t, id, e, handed)
	}
	go s.followTask(t, ended)
	if t.oom != nil {
		if n, err := t.oom.Kills(); err == nil {
			t.kills = n // those were told
		}
		go s.followOOM(t)
	}
	s.log.Info("took over a container", "container", r.ID, "pid", r.Pid)
}

// endedBefore goes on with a task that ended while nobody, or the last supervisor, was looking.
func (s *Supervisor) endedBefore(t *task, exit protocol.Exit) {
	s.resumeLog(t)
	go func() {
		s.flush(t.wires)
		s.taskEnded(t, exit, func() {})
	}()
}

// resumeLog opens the log again and says in it what is missing.
func (s *Supervisor) resumeLog(t *task) {
	log, err := s.openLog(t)
	if err != nil {
		s.log.Error("log of container is not written any more", "container", t.id(), "error", err)
	}
	if t.wires.lost() {
		s.log.Warn("output of container cannot be read any more: both supervisor and gantryd were killed", "container", t.id())
		if log != nil {
			lines := log.Lines("stderr")
			defer lines.Flush()
			lines.Write([]byte("gantry-supervisor: the container's output is lost from here on: supervisor and daemon were killed together\n"))
		}
	}
	t.wires.begin(log)
}

// adopt takes hold of a process by the pidfd that was handed back, or by its number.
func adopt(pid int, ticks uint64, files map[string]*os.File) (*process.Process, error) {
	if f := files[protocol.FileProcess]; f != nil {
		return process.Adopt(pid, ticks, f), nil
	}
	return process.Reopen(pid, ticks)
}

func (s *Supervisor) restoreExec(t *task, id string, r execRecord, handed map[protocol.Target]map[string]*os.File) {
	of := protocol.Target{ID: t.id(), Run: t.run(), Exec: id}
	files := take(handed, of)
	e := &execProcess{id: id, record: r, told: make(chan struct{})}
	e.wires = restoredWires(s.wiringOf(of.ID, id, r.Stdio), files, nil)
	p, err := adopt(r.Pid, r.Ticks, files)
	if err != nil {
		s.discard(of.ID, e.wires)
		t.record.Untold = append(t.record.Untold, protocol.Exit{
			ID: of.ID, Run: of.Run, ExecID: id, Code: process.Unknown().Code, Unknown: true, At: time.Now().UTC(),
		})
		return
	}
	e.process = p
	t.execs[id] = e
	ended := s.reaper.FollowHeld(context.Background(), p)
	e.wires.begin(nil)
	if r.Attached || r.Stdio.Detached {
		e.wires.release()
	}
	go s.followExec(t, e, ended)
}
