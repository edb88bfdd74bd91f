package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gantry/supervisor/enter"
	"gantry/supervisor/launch"
	"gantry/supervisor/process"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// enterTime bounds the start of a process by this one.
const enterTime = 30 * time.Second

// unattachedTime is how long the output of an exec that has ended is kept for a first client.
const unattachedTime = time.Minute

func (t *task) addExec(e *execProcess) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exit != nil {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s is not running", t.record.ID))
	}
	if t.execs[e.id] != nil {
		return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("container %s has an exec %s", t.record.ID, e.id))
	}
	t.execs[e.id] = e
	return nil
}

func (t *task) removeExec(e *execProcess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.execs, e.id)
}

// exec starts a further process in a container.
func (s *starter) exec(ctx context.Context, r protocol.Exec) (protocol.Started, error) {
	t, err := s.book.findRunning(r.ID)
	if err != nil {
		return protocol.Started{}, err
	}
	w, err := newWires(s.book.wiringOf(r.ID, r.Exec, r.Stdio))
	if err != nil {
		return protocol.Started{}, err
	}
	e := &execProcess{id: r.Exec, record: execRecord{Stdio: r.Stdio}, wires: w, told: make(chan struct{})}
	if err := t.addExec(e); err != nil {
		s.book.discard(r.ID, w)
		return protocol.Started{}, err
	}
	started, err := s.launchExec(context.WithoutCancel(ctx), t, e, r)
	if err != nil {
		t.removeExec(e)
		s.book.discard(r.ID, w)
		s.teller.drop(e.target(t))
	}
	return started, err
}

func (s *starter) launchExec(ctx context.Context, t *task, e *execProcess, r protocol.Exec) (started protocol.Started, err error) {
	s.teller.keepExec(s.teller.current(), t, e)
	defer s.reaper.Spawning()()
	pid, err := s.enter(ctx, t, e, r)
	if errors.Is(err, enter.ErrUnsupported) {
		s.log.Debug("the runtime is asked for an exec", "container", t.id(), "exec", e.id, "reason", err)
		pid, err = s.launcher.Exec(ctx, t.record.Runtime, t.record.Bundle, r, e.wires.ends)
	}
	if err != nil {
		return started, err
	}
	p, ended, err := s.reaper.Follow(context.Background(), pid)
	if err != nil {
		return started, err
	}
	t.mu.Lock()
	e.process = p
	e.record.Pid, e.record.Ticks = p.Pid, p.Ticks
	t.mu.Unlock()
	e.wires.begin(nil)
	if r.Stdio.Detached {
		e.wires.release()
	}
	s.teller.keepExec(s.teller.current(), t, e)
	go s.lives.followExec(t, e, ended)
	s.lives.saveExec(t, e)
	if err := e.wires.ends.Close(); err != nil {
		s.log.Warn("ends of exec's pipes", "container", t.id(), "exec", e.id, "error", err)
	}
	return protocol.Started{Pid: pid, Started: time.Now().UTC()}, nil
}

// enter starts the process without the runtime, where its containers are ordinary ones of this host.
func (s *starter) enter(ctx context.Context, t *task, e *execProcess, r protocol.Exec) (pid int, err error) {
	if !t.direct() || t.init.File() == nil {
		return 0, enter.ErrUnsupported
	}
	room, err := t.readRoom()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", enter.ErrUnsupported, err)
	}
	data, err := os.ReadFile(r.Process)
	if err != nil {
		return 0, err
	}
	var p specs.Process
	if err := json.Unmarshal(data, &p); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, enterTime)
	defer cancel()
	pid, terminal, err := s.door.Start(ctx, enter.Request{
		Room: room, Init: t.init.File(), InitPid: t.init.Pid, Process: &p, Files: s.launcher.Files(e.wires.ends),
	})
	var refused *enter.Refused
	if errors.As(err, &refused) {
		return 0, launch.Refused(t.record.Runtime, refused.Words)
	}
	if terminal != nil {
		*e.wires.ends.Terminal = terminal
	}
	return pid, err
}

// readRoom reads what processes that enter the container are bound to, once.
func (t *task) readRoom() (*enter.Room, error) {
	t.mu.Lock()
	room := t.room
	t.mu.Unlock()
	if room != nil {
		return room, nil
	}
	room, err := enter.ReadRoom(t.id(), t.record.Bundle, filepath.Join(t.record.Runtime.Root, t.id()))
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.room = room
	t.mu.Unlock()
	return room, nil
}

// followExec tells how an exec ended, and forgets it.
func (l *lives) followExec(t *task, e *execProcess, ended <-chan process.Status) {
	st := <-ended
	exit := protocol.Exit{
		ID: t.id(), ExecID: e.id, Run: t.run(), Code: st.Code, Unknown: st.Unknown, At: time.Now().UTC(),
	}
	flushed := e.wires.flowing()
	if flushed {
		l.flush(e.wires)
	}
	t.mu.Lock()
	e.ended = true
	t.record.Untold = append(t.record.Untold, exit)
	t.mu.Unlock()
	l.saveExec(t, e)
	l.reaper.Dealt()
	<-l.teller.tellExit(exit, e.told)
	if !flushed {
		e.wires.awaitRelease(unattachedTime, t.forgotten)
		l.flush(e.wires)
	}
	t.removeExec(e)
	e.wires.fan.End()
	l.teller.drop(e.target(t))
	l.saveExec(t, e)
	// Whoever else has the output open may go on writing, to nobody, until the container ends.
	e.wires.wait(t.forgotten)
	if err := errors.Join(e.wires.close(), e.process.Close()); err != nil {
		l.log.Warn("remains of an exec", "container", t.id(), "exec", e.id, "error", err)
	}
}

func (l *lives) saveExec(t *task, e *execProcess) {
	if err := l.save(t); err != nil {
		l.log.Warn("exec is not on record", "container", t.id(), "exec", e.id, "error", err)
	}
}
