package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gantry/internal/fault"
	"gantry/supervisor/cgroup"
	"gantry/supervisor/launch"
	"gantry/supervisor/process"
	"gantry/supervisor/stdio"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// start runs a container's init process.
func (s *Supervisor) start(ctx context.Context, r protocol.Start, root *os.File) (protocol.Started, error) {
	w, err := s.takePrepared(r.ID, r.Stdio)
	if err != nil {
		return protocol.Started{}, err
	}
	t := newTask(record{
		ID: r.ID, Run: r.Run, Phase: phaseStarting, Bundle: r.Bundle, Runtime: r.Runtime, Stdio: r.Stdio,
		Log: r.Log, LogInfo: r.LogInfo, ExitFile: r.ExitFile, Cgroup: r.Cgroup, Hooks: r.Hooks,
	}, w)
	if err := s.reserve(ctx, t); err != nil {
		s.discard(r.ID, w)
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
func (s *Supervisor) launchTask(ctx context.Context, t *task, r protocol.Start, root *os.File) error {
	log, err := s.openLog(t)
	if err != nil {
		return err
	}
	if err := s.save(t); err != nil {
		return errors.Join(err, closeLog(log))
	}
	s.keep(s.current(), t.target(), t.wires, nil)
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
	if err := errors.Join(s.save(t), t.wires.ends.Close()); err != nil {
		return errors.Join(err, closeLog(log))
	}
	t.wires.begin(log)
	s.keep(s.current(), t.target(), t.wires, t.init)
	go s.followTask(t, ended)
	if t.oom != nil {
		go s.followOOM(t)
	}
	return nil
}

// openLog opens the container's log; nil where nothing is kept.
func (s *Supervisor) openLog(t *task) (*stdio.Log, error) {
	if t.record.Log == "" || t.record.Log == "none" {
		return nil, nil
	}
	writer, err := s.cfg.OpenLog(t.record.Log, t.record.LogInfo)
	if err != nil {
		return nil, fmt.Errorf("failed to initialize logging driver: %w", err)
	}
	return stdio.NewLog(writer, s.log.With("container", t.id())), nil
}

func closeLog(log *stdio.Log) error {
	if log != nil {
		log.Close()
	}
	return nil
}

// started takes hold of the process that the runtime left.
func (s *Supervisor) started(t *task, pid int) (<-chan process.Status, error) {
	p, ended, err := s.reaper.Follow(context.Background(), pid)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.init = p
	t.record.Phase, t.record.Pid, t.record.Ticks = phaseRunning, p.Pid, p.Ticks
	t.record.Started = time.Now().UTC()
	t.mu.Unlock()
	s.watch(t)
	return ended, nil
}

// watch finds the task's cgroup, and looks out for the OOM killer there.
func (s *Supervisor) watch(t *task) {
	var err error
	if t.record.Cgroup != "" {
		t.group, err = s.cgroups.Group(t.record.Cgroup)
	} else {
		t.group, err = s.cgroups.GroupOf(t.record.Pid)
	}
	if err == nil {
		t.oom, err = t.group.WatchOOM()
	}
	if err != nil {
		t.oom = nil
		s.log.Debug("container is not watched for out of memory", "container", t.id(), "error", err)
	}
}

// startFailed leaves nothing of a task that did not come to run.
func (s *Supervisor) startFailed(ctx context.Context, t *task) {
	if err := s.clean(ctx, t); err != nil {
		s.log.Warn("remains of a failed start", "container", t.id(), "error", err)
	}
	s.discard(t.id(), t.wires)
	s.drop(t.target())
	s.forgetTask(t)
}

// followOOM tells gantryd of every strike of the OOM killer.
func (s *Supervisor) followOOM(t *task) {
	for {
		t.mu.Lock()
		seen := t.kills
		t.mu.Unlock()
		now, err := cgroup.WaitKill(context.Background(), t.oom, seen)
		if err != nil {
			return // closed, or the cgroup is gone: the exit looks once more
		}
		s.noteKills(t, now)
	}
}

// noteKills tells gantryd, if the number of kills has grown.
func (s *Supervisor) noteKills(t *task, now uint64) {
	t.mu.Lock()
	grown := now > t.kills
	t.kills = max(t.kills, now)
	t.mu.Unlock()
	if grown {
		s.current().notice(protocol.OpOOM, t.target())
	}
}

// prepare makes the stdio of a container before it is started.
func (s *Supervisor) prepare(p protocol.Prepare) error {
	s.mu.Lock()
	t, w := s.tasks[p.ID], s.prepared[p.ID]
	s.mu.Unlock()
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
	w, err := s.wire(p.ID, p.Stdio)
	if err != nil {
		return err
	}
	s.mu.Lock()
	lost := s.prepared[p.ID] != nil
	if !lost {
		s.prepared[p.ID] = w
	}
	s.mu.Unlock()
	if lost {
		s.discard(p.ID, w)
	}
	return nil
}

// forget undoes prepare.
func (s *Supervisor) forget(id string) {
	s.mu.Lock()
	w := s.prepared[id]
	delete(s.prepared, id)
	s.mu.Unlock()
	if w != nil {
		s.discard(id, w)
	}
}
