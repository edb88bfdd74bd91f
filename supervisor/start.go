package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"gantry/internal/fault"
	"gantry/supervisor/launch"
	"gantry/supervisor/process"
	"gantry/supervisor/stdio"
	"gantry/task/protocol"
)

// starter makes processes: init ones and execs.
type starter struct{ *parts }

func closeLog(log *stdio.Log) error {
	if log != nil {
		log.Close()
	}
	return nil
}

// start runs a container's init process.
func (s *starter) start(ctx context.Context, r protocol.Start, root *os.File) (protocol.Started, error) {
	w, err := s.book.takePrepared(r.ID, r.Stdio)
	if err != nil {
		return protocol.Started{}, err
	}
	t := newTask(record{
		ID: r.ID, Run: r.Run, Phase: phaseStarting, Bundle: r.Bundle, Runtime: r.Runtime, Stdio: r.Stdio,
		Log: r.Log, LogInfo: r.LogInfo, ExitFile: r.ExitFile, Cgroup: r.Cgroup, Hooks: r.Hooks,
	}, w)
	if err := s.book.reserve(ctx, t); err != nil {
		s.book.discard(r.ID, w)
		return protocol.Started{}, err
	}
	if err := s.launchTask(ctx, t, r, root); err != nil {
		s.startFailed(context.WithoutCancel(ctx), t)
		return protocol.Started{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return protocol.Started{Run: r.Run, Pid: t.record.Pid, Started: t.record.Started}, nil
}

// launchTask opens the log, calls the runtime and follows the process.
func (s *starter) launchTask(ctx context.Context, t *task, r protocol.Start, root *os.File) error {
	log, err := s.lives.openLog(t)
	if err != nil {
		return err
	}
	if err := s.lives.save(t); err != nil {
		return errors.Join(err, closeLog(log))
	}
	s.teller.keep(s.teller.current(), t.target(), t.wires, nil)
	fault.Point("supervisor.start.saved")
	var mount *launch.Mount
	if root != nil {
		mount = &launch.Mount{Tree: root, At: filepath.Join(r.Bundle, "rootfs")}
	}
	defer s.reaper.Spawning()()
	var ended <-chan process.Status
	pid, err := s.launcher.Run(context.WithoutCancel(ctx), r, t.wires.ends, mount)
	if err == nil {
		fault.Point("supervisor.start.launched")
		ended, err = s.started(t, pid)
	}
	if err != nil {
		return errors.Join(err, closeLog(log))
	}
	if err := errors.Join(s.lives.save(t), t.wires.ends.Close()); err != nil {
		return errors.Join(err, closeLog(log))
	}
	t.wires.begin(log)
	s.teller.keep(s.teller.current(), t.target(), t.wires, t.init)
	go s.lives.followTask(t, ended)
	if t.oom != nil {
		go s.lives.followOOM(t)
	}
	return nil
}

// started takes hold of the process that the runtime left.
func (s *starter) started(t *task, pid int) (<-chan process.Status, error) {
	p, ended, err := s.reaper.Follow(context.Background(), pid)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.init = p
	t.record.Phase, t.record.Pid, t.record.Ticks = phaseRunning, p.Pid, p.Ticks
	t.record.Started = time.Now().UTC()
	t.mu.Unlock()
	s.lives.watch(t)
	return ended, nil
}

// startFailed leaves nothing of a task that did not come to run.
func (s *starter) startFailed(ctx context.Context, t *task) {
	if err := s.lives.clean(ctx, t); err != nil {
		s.log.Warn("remains of a failed start", "container", t.id(), "error", err)
	}
	s.book.discard(t.id(), t.wires)
	s.teller.drop(t.target())
	s.lives.forgetTask(t)
}
