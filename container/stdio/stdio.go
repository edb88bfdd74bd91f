// Package stdio is attach, logs and resize: what a client reads from a container and writes to it.
package stdio

import (
	"context"
	"iter"
	"strconv"
	"time"

	"gantry/container"
	"gantry/container/record"
	"gantry/logdriver"
	"gantry/logdriver/drivers"
	"gantry/task"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Config is what the room stands on.
type Config struct {
	Containers *container.Service
	Tasks      *task.Service
}

// Service serves the streams of containers. Safe for concurrent use.
type Service struct{ cfg Config }

// Open holds nothing: streams belong to their requests.
func Open(_ context.Context, cfg Config) (*Service, error) { return &Service{cfg: cfg}, nil }

// AttachOptions of POST /containers/{id}/attach.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	Stream                bool // false: only Logs
	Logs                  bool // what the log has comes first
}

// Attached is a client's connection to a container.
type Attached struct {
	Tty    bool
	Logs   iter.Seq2[*logdriver.Message, error] // to be written first; nil if not asked for
	Stream task.Stream                          // nil when only logs are wanted
}

// Attach connects a client, before or after the container's start. Errors: not found, conflict (paused, restarting:
// "container X is paused, unpause the container before attach").
func (s *Service) Attach(ctx context.Context, ref string, o AttachOptions) (*Attached, error) {
	c, err := s.cfg.Containers.Get(ref)
	if err != nil {
		return nil, err
	}
	r := c.Record()
	switch r.Status {
	case record.Paused:
		return nil, errdefs.ErrConflict.WithMessage("container " + ref + " is paused, unpause the container before attach")
	case record.Restarting:
		return nil, errdefs.ErrConflict.WithMessage("container " + ref + " is restarting, wait until the container is running")
	}
	out := &Attached{Tty: r.Config.Tty}
	if o.Logs {
		if out.Logs, _, err = s.Logs(ctx, ref, LogsOptions{Stdout: o.Stdout, Stderr: o.Stderr, Tail: -1}); err != nil {
			return nil, err
		}
	}
	if !o.Stream {
		return out, nil
	}
	if !r.Up() {
		if err := s.cfg.Tasks.Prepare(ctx, r.ID, c.Process()); err != nil && !errdefs.IsAlreadyExists(err) {
			return nil, err
		}
	}
	stream, err := s.cfg.Tasks.Attach(ctx, r.ID, "", task.AttachOptions{
		Stdin: o.Stdin && r.Config.OpenStdin, Stdout: o.Stdout, Stderr: o.Stderr, CloseStdin: r.Config.StdinOnce && !r.Config.Tty,
	})
	if err != nil {
		return nil, err
	}
	s.cfg.Containers.Announce(r, events.ActionAttach, nil)
	out.Stream = &attached{Stream: stream, detach: func() { s.cfg.Containers.Announce(c.Record(), events.ActionDetach, nil) }}
	return out, nil
}

// attached tells of a client that leaves its container running.
type attached struct {
	task.Stream
	detach func()
}

// Detached is called when the client typed the detach keys.
func (a *attached) Detached() { a.detach() }

// LogsOptions of GET /containers/{id}/logs.
type LogsOptions struct {
	Stdout, Stderr bool
	Since, Until   time.Time
	Tail           int // negative for all
	Follow         bool
}

// Logs reads the log back; tty tells whether frames are to be used. Errors: not found; invalid argument; not implemented
// ("configured logging driver does not support reading").
func (s *Service) Logs(ctx context.Context, ref string, o LogsOptions) (messages iter.Seq2[*logdriver.Message, error], tty bool, err error) {
	c, err := s.cfg.Containers.Get(ref)
	if err != nil {
		return nil, false, err
	}
	if !o.Stdout && !o.Stderr {
		return nil, false, errdefs.ErrInvalidArgument.WithMessage("You must choose at least one stream")
	}
	r := c.Record()
	if r.Status == record.Removing || r.Status == record.Dead {
		return nil, false, errdefs.ErrConflict.WithMessage("can not get logs from container which is dead or marked for removal")
	}
	reader, err := drivers.OpenReader(r.HostConfig.LogConfig.Type, c.LogInfo())
	if err != nil {
		return nil, false, err
	}
	all := reader.Read(ctx, logdriver.ReadConfig{Since: o.Since, Until: o.Until, Tail: o.Tail, Follow: o.Follow, Ended: c.Ended()})
	if o.Stdout && o.Stderr {
		return all, r.Config.Tty, nil
	}
	return only(all, o.Stdout), r.Config.Tty, nil
}

// only passes the messages of one stream.
func only(all iter.Seq2[*logdriver.Message, error], stdout bool) iter.Seq2[*logdriver.Message, error] {
	return func(yield func(*logdriver.Message, error) bool) {
		for m, err := range all {
			if err == nil && (m.Source == "stdout") != stdout {
				continue
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// Resize sets the terminal's size, in characters. Errors: not found, conflict (it does not run).
func (s *Service) Resize(ctx context.Context, ref string, height, width uint) error {
	c, err := s.cfg.Containers.Get(ref)
	if err != nil {
		return err
	}
	r := c.Record()
	if !r.Up() {
		return errdefs.ErrConflict.WithMessage("container " + r.ID + " is not running")
	}
	if err := s.cfg.Tasks.Resize(ctx, r.ID, "", height, width); err != nil {
		return err
	}
	s.cfg.Containers.Announce(r, events.ActionResize, map[string]string{"height": strconv.FormatUint(uint64(height), 10), "width": strconv.FormatUint(uint64(width), 10)})
	return nil
}
