package container

import (
	"context"
	"errors"
	"strconv"
	"time"

	"gantry/container/health"
	"gantry/container/record"
	"gantry/container/restart"
	"gantry/internal/fault"
	"gantry/task"

	"github.com/moby/moby/api/types/events"
)

// ender does what follows the end of a task: record, release, restart.
type ender struct {
	*records
	starts  *starter
	removal *remover
}

// TaskExited is the supervisor's word that a container's init process has ended.
func (s *ender) TaskExited(e task.Exit) {
	s.background(func(ctx context.Context) {
		c, err := s.Get(e.ID)
		if err != nil || c.id != e.ID {
			// Removed by force meanwhile: only the supervisor still knows of it.
			err = s.cfg.Tasks.Acknowledge(ctx, e.ID, e.Run)
		} else {
			err = s.exited(ctx, c, e)
		}
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("container exit not recorded", "container", e.ID, "error", err)
		}
	})
}

// TaskOOM is the supervisor's word that the kernel's OOM killer struck in a container.
func (s *ender) TaskOOM(id string) {
	if c, err := s.Get(id); err == nil {
		s.Announce(c.Record(), events.ActionOOM, nil)
	}
}

// exited records an end, whoever caused it, and decides what comes next.
func (s *ender) exited(ctx context.Context, c *Container, e task.Exit) error {
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	r := c.Record()
	if c.Gone() || !r.Up() || r.Run != 0 && e.Run != 0 && r.Run != e.Run {
		return s.cfg.Tasks.Acknowledge(ctx, e.ID, e.Run)
	}
	c.stopHealth()
	// Ports and addresses are free before anybody is told that the container has ended.
	released := s.releaseRun(ctx, c)
	next := s.afterExit(c, e)
	if err := s.recordExit(c, e, next); err != nil {
		return err
	}
	fault.Point("container.exit.record")
	s.Announce(c.Record(), events.ActionDie, map[string]string{
		"exitCode": strconv.Itoa(e.Code), "execDuration": strconv.Itoa(int(e.At.Sub(r.StartedAt).Seconds())),
	})
	err := errors.Join(released, s.cfg.Tasks.Acknowledge(ctx, e.ID, e.Run))
	switch {
	case next.Restart:
		s.restartAfter(c, next)
	case r.HostConfig.AutoRemove:
		err = errors.Join(err, s.removal.removeLocked(ctx, c, RemoveOptions{Volumes: true}))
	}
	return err
}

// releaseRun gives back what a run had: network, volumes, shared memory.
func (s *ender) releaseRun(ctx context.Context, c *Container) error {
	r := c.Record()
	errs := []error{c.releaseRunning(ctx)}
	if !r.HostConfig.NetworkMode.IsContainer() {
		errs = append(errs, s.cfg.Networks.Disconnect(ctx, c.id))
	}
	for _, m := range r.Mounts {
		if m.Name != "" {
			errs = append(errs, s.cfg.Volumes.Unmount(ctx, m.Name, c.id))
		}
	}
	if r.HostConfig.IpcMode.IsShareable() {
		errs = append(errs, unmountShm(c))
	}
	errs = append(errs, unmountTrees(c))
	return errors.Join(errs...)
}

// afterExit asks the restart policy.
func (s *ender) afterExit(c *Container, e task.Exit) restart.Decision {
	r := c.Record()
	c.mu.Lock()
	stopping, delay := c.stopping > 0, c.delay
	c.mu.Unlock()
	return restart.Next(r.HostConfig.RestartPolicy,
		restart.Exit{Code: e.Code, Ran: e.At.Sub(r.StartedAt)},
		restart.State{Count: r.RestartCount, Delay: delay, Stopped: stopping || r.ManuallyStopped, Shutdown: s.closed.Load()})
}

func (s *ender) recordExit(c *Container, e task.Exit, next restart.Decision) error {
	to := record.Exited
	if next.Restart {
		to = record.Restarting
	}
	c.mu.Lock()
	c.delay = next.State.Delay
	c.exiting = true // publish counts it
	c.mu.Unlock()
	return s.transition(c, to, func(r *record.Container) {
		r.Pid, r.ExitCode, r.OOMKilled, r.FinishedAt = 0, e.Code, e.OOM, e.At.UTC()
		r.Health = health.Ended(r.Health)
		r.Ports, r.SandboxID, r.NetnsPath = nil, "", ""
		r.Networks = wantedOnly(r)
		if e.Unknown {
			r.Error = "the exit status is unknown: the container ended while nothing watched it"
		}
		if next.Restart {
			r.RestartCount = next.State.Count
		}
	})
}

// restartAfter waits for the back-off and starts the container again, unless a stop, start or removal comes first.
func (s *ender) restartAfter(c *Container, d restart.Decision) {
	waiting, cancel := context.WithCancel(s.ctx)
	c.mu.Lock()
	c.wake = cancel
	c.mu.Unlock()
	s.background(func(context.Context) {
		defer cancel()
		select {
		case <-time.After(d.Delay):
		case <-waiting.Done():
			return
		}
		if err := c.lock(waiting); err != nil {
			return
		}
		defer c.unlock()
		if waiting.Err() != nil || c.Gone() || c.Record().Status != record.Restarting {
			return
		}
		if err := s.starts.start(context.WithoutCancel(waiting), c, false); err != nil {
			s.cfg.Log.Warn("container not restarted", "container", c.id, "error", err)
			s.retryStart(c, err)
		}
	})
}

// retryStart treats a restart that failed as one more exit, so that the policy goes on with its back-off.
func (s *ender) retryStart(c *Container, cause error) {
	r := c.Record()
	if c.Gone() || r.Status != record.Exited {
		return
	}
	next := s.afterExit(c, task.Exit{Code: r.ExitCode, At: r.StartedAt})
	if !next.Restart {
		return
	}
	c.mu.Lock()
	c.delay = next.State.Delay
	c.mu.Unlock()
	err := s.transition(c, record.Restarting, func(r *record.Container) { r.RestartCount = next.State.Count })
	if err != nil {
		s.cfg.Log.Error("container not restarted", "container", c.id, "error", errors.Join(cause, err))
		return
	}
	s.restartAfter(c, next)
}

// cancelRestart ends the wait before an automatic restart.
func (c *Container) cancelRestart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wake != nil {
		c.wake()
		c.wake = nil
	}
}
