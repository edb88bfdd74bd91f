package container

import (
	"context"
	"errors"
	"time"

	"gantry/container/health"
	"gantry/container/record"
	"gantry/task"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// initialHealth is that of a container that has just been started.
func initialHealth(r *record.Container) *container.Health {
	if health.Command(r.Config.Healthcheck, r.Config.Shell) == nil {
		return nil
	}
	return health.Starting(r.Health)
}

// prober runs the health checks of running containers.
type prober struct {
	*records
	execs *execs
}

// startHealth watches a running container that has a check. The caller holds the operation lock.
func (s *prober) startHealth(c *Container) {
	r := c.Record()
	args := health.Command(r.Config.Healthcheck, r.Config.Shell)
	if args == nil || r.Health == nil {
		return
	}
	m := health.Start(health.Configure(r.Config.Healthcheck, r.StartedAt),
		func(ctx context.Context) (int, []byte, error) { return s.probe(ctx, c, args) },
		r.Health,
		func(h *container.Health, changed bool) { s.reportHealth(c, r.Run, h, changed) })
	if r.Status == record.Paused {
		m.Pause()
	}
	c.mu.Lock()
	c.health = m
	c.mu.Unlock()
}

// stopHealth ends the checks. The monitor is stopped on the side: a report under way may wait
// for the lock that the caller holds.
func (c *Container) stopHealth() {
	c.mu.Lock()
	m := c.health
	c.health = nil
	c.mu.Unlock()
	if m != nil {
		go m.Stop()
	}
}

func (c *Container) pauseHealth(paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.health == nil:
	case paused:
		c.health.Pause()
	default:
		c.health.Resume()
	}
}

// reportHealth records a result, if the run that it is about still goes on.
func (s *prober) reportHealth(c *Container, run uint64, h *container.Health, changed bool) {
	if c.lock(s.ctx) != nil {
		return
	}
	defer c.unlock()
	if r := c.Record(); !r.Up() || r.Run != run {
		return
	}
	err := s.amend(c, func(r *record.Container) { r.Health = h })
	if err != nil {
		s.cfg.Log.Error("health not recorded", "container", c.id, "error", err)
	}
	if changed {
		s.Announce(c.Record(), events.Action(string(events.ActionHealthStatus)+": "+string(h.Status)), nil)
	}
}

// probe runs the check in the container; when ctx ends, it is killed.
func (s *prober) probe(ctx context.Context, c *Container, args []string) (code int, output []byte, err error) {
	began := time.Now()
	defer func() {
		if s.cfg.Probed != nil {
			s.cfg.Probed(err != nil || code != 0, time.Since(began))
		}
	}()
	run, err := s.execs.Exec(ctx, c.id, newID(), ExecRequest{Args: args, Attach: task.AttachOptions{Stdout: true, Stderr: true}})
	if err != nil {
		return -1, nil, err
	}
	defer context.AfterFunc(ctx, func() {
		if err := run.Kill(context.WithoutCancel(ctx)); err != nil {
			s.cfg.Log.Debug("health check not killed", "container", c.id, "error", err)
		}
	})()
	var kept headWriter
	_, err = stdcopy.StdCopy(&kept, &kept, run.Stream)
	if err = errors.Join(err, run.Stream.Close()); err != nil {
		return -1, kept.head, err
	}
	code, err = run.Wait(ctx)
	return code, kept.head, err
}

// maxProbeOutput is kept at most; package health cuts it at 4096 bytes and says so.
const maxProbeOutput = 8 << 10

// headWriter keeps the beginning of what is written to it.
type headWriter struct{ head []byte }

func (w *headWriter) Write(p []byte) (int, error) {
	w.head = append(w.head, p[:min(len(p), maxProbeOutput-len(w.head))]...)
	return len(p), nil
}
