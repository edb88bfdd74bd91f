package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gantry/internal/fault"
	"gantry/supervisor/process"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

const (
	// drainTime bounds how long an exit waits for a log that does not take what the process wrote.
	drainTime = 5 * time.Second
	// graceTime is how long an exit waits for others who have the process's output open to close it.
	graceTime = 100 * time.Millisecond
	// toldTime bounds how long clients wait for the end of a stream: gantryd first learns how the process ended,
	// since clients ask for the exit code as soon as they see the end.
	toldTime = 3 * time.Second
)

// tell notes that gantryd has dealt with the exit.
func (t *task) tell() { t.toldOnce.Do(func() { close(t.told) }) }

// followTask records how the init process ended, tells it, and cleans up.
func (l *lives) followTask(t *task, ended <-chan process.Status) {
	st := <-ended
	at := time.Now().UTC()
	l.flush(t.wires)
	exit := protocol.Exit{ID: t.id(), Run: t.run(), Code: st.Code, Unknown: st.Unknown, OOM: l.struckByOOM(t), At: at}
	l.taskEnded(t, exit, l.reaper.Dealt)
}

// flush brings what a process wrote to the log and the clients.
func (l *lives) flush(w *wires) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	ended := w.drain(ctx)
	if !ended {
		grace, cancel := context.WithTimeout(ctx, graceTime)
		defer cancel()
		ended = w.wait(grace.Done())
	}
	if ended {
		w.closeLog()
	}
}

func (l *lives) struckByOOM(t *task) bool {
	if t.oom != nil {
		if now, err := t.oom.Kills(); err == nil {
			l.noteKills(t, now)
		}
		if err := t.oom.Close(); err != nil {
			l.log.Debug("stop watching for out of memory", "container", t.id(), "error", err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kills > 0
}

// taskEnded makes an exit durable, and then known. recorded is called in between.
func (l *lives) taskEnded(t *task, exit protocol.Exit, recorded func()) {
	fault.Point("supervisor.exit.seen")
	if err := writeExit(t.record.ExitFile, exit); err != nil {
		l.log.Error("exit of container is not on disk", "container", t.id(), "code", exit.Code, "error", err)
	}
	fault.Point("supervisor.exit.recorded")
	recorded()
	defer l.gate.enter()()
	t.mu.Lock()
	t.exit = &exit
	t.mu.Unlock()
	known := l.teller.tellExit(exit, t.told)
	go l.settleTask(t)
	<-known
	t.wires.fan.End()
}

// settleTask makes the runtime forget a task that has ended.
func (l *lives) settleTask(t *task) {
	if err := l.clean(context.Background(), t); err != nil {
		l.log.Warn("remains of a container", "container", t.id(), "error", err)
	}
	close(t.settled)
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	if closed {
		l.forgetTask(t)
	}
}

// clean removes what the runtime keeps: its state and the cgroup.
func (l *lives) clean(ctx context.Context, t *task) error {
	r := t.record.Runtime
	if r.Kind == protocol.KindCrun && t.group != nil && t.record.Cgroup != "" && !t.record.Hooks {
		// What `crun delete` does, without starting it: 20 ms of a container's 60.
		if err := t.group.Remove(); err == nil {
			return os.RemoveAll(filepath.Join(r.Root, t.id()))
		}
	}
	defer l.reaper.Spawning()()
	err := l.launcher.Delete(ctx, r, l.cfg.Root, t.id())
	if _, statErr := os.Lstat(filepath.Join(r.Root, t.id())); errors.Is(statErr, fs.ErrNotExist) {
		return nil // it knew nothing of the container, or has forgotten it
	}
	return err
}

// acknowledge forgets a task whose exit is on record elsewhere.
func (l *lives) acknowledge(id string, run uint64) error {
	t, err := l.book.find(id)
	if errdefs.IsNotFound(err) || err == nil && t.run() != run {
		return nil // done before
	}
	t.mu.Lock()
	if t.exit == nil {
		t.mu.Unlock()
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("container %s is running", id))
	}
	again := t.closed
	t.closed = true
	t.mu.Unlock()
	if again {
		return nil
	}
	select {
	case <-t.settled:
		l.forgetTask(t)
	default: // settleTask does it
	}
	return nil
}

// forgetTask removes the last of a task.
func (l *lives) forgetTask(t *task) {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	select {
	case <-t.forgotten:
		return
	default:
	}
	t.tell()
	t.saving.mu.Lock()
	err := l.store.remove(t.id())
	t.saving.mu.Unlock()
	if t.record.ExitFile != "" && t.exit != nil {
		if rmErr := os.Remove(t.record.ExitFile); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}
	err = errors.Join(err, os.RemoveAll(t.record.Bundle), t.wires.close())
	if t.init != nil {
		err = errors.Join(err, t.init.Close())
	}
	if err != nil {
		l.log.Warn("remains of a task", "container", t.id(), "error", err)
	}
	l.teller.drop(t.target())
	l.book.remove(t)
	close(t.forgotten)
}

// told is gantryd's word that it has dealt with an exit: streams may end, and an exec is forgotten.
func (l *lives) told(of protocol.Target) error {
	t, err := l.book.find(of.ID)
	if err != nil || t.run() != of.Run {
		return nil
	}
	if of.Exec == "" {
		t.tell()
		return nil
	}
	t.mu.Lock()
	t.record.Untold = slices.DeleteFunc(t.record.Untold, func(e protocol.Exit) bool { return e.ExecID == of.Exec })
	e := t.execs[of.Exec]
	t.mu.Unlock()
	if e != nil {
		e.once.Do(func() { close(e.told) })
	}
	return l.save(t)
}
