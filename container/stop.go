package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/sys/signal"
)

const (
	stopTimeout = 10 * time.Second // Docker's, where neither the user nor the container says one
	// killPatience is how long the end may take after SIGKILL: a process in uninterruptible sleep outlives it.
	killPatience = 30 * time.Second
)

// StopOptions of stop and restart: zero values are the container's own.
type StopOptions struct {
	Signal  string
	Seconds *int // before it is killed; negative waits for ever
}

// stopper sends signals and waits for their effect.
type stopper struct {
	*records
}

// Stop sends the stop signal, then SIGKILL. Errors: not modified (it does not run).
func (s *stopper) Stop(ctx context.Context, ref string, o StopOptions) error {
	c, err := s.Get(ref)
	if err != nil {
		return err
	}
	stopped, err := s.stop(ctx, c, o, true)
	if err == nil && !stopped {
		return errdefs.ErrNotModified.WithMessage("container " + c.id + " is already stopped")
	}
	return err
}

// stop ends a container without holding its lock while it waits, so that a kill can come between.
// byUser keeps it stopped across daemon restarts where the policy says so.
func (s *stopper) stop(ctx context.Context, c *Container, o StopOptions, byUser bool) (stopped bool, err error) {
	sig, wait, err := stopSettings(c.Record(), o)
	if err != nil {
		return false, err
	}
	run, waited, err := s.beginStop(ctx, c, byUser)
	if err != nil || run == 0 {
		return waited, err
	}
	defer c.endStop()
	ended := func(r *record.Container, _ uint64, removed bool) bool { return removed || !r.Up() || r.Run != run }
	err = s.signalAndWait(ctx, c, sig, wait, ended)
	if err != nil {
		return false, err
	}
	if byUser {
		s.Announce(c.Record(), events.ActionStop, nil)
	}
	return true, nil
}

func (s *stopper) signalAndWait(ctx context.Context, c *Container, sig syscall.Signal, wait time.Duration, ended func(*record.Container, uint64, bool) bool) error {
	s.Announce(c.Record(), events.ActionKill, map[string]string{"signal": strconv.Itoa(int(sig))})
	if err := s.signal(ctx, c, sig); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	patience, cancel := ctx, context.CancelFunc(func() {})
	if wait >= 0 {
		patience, cancel = context.WithTimeout(ctx, wait)
	}
	err := c.await(patience, ended)
	cancel()
	if err == nil || ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	// The time is over, or the client has gone: what was begun is carried through.
	ctx = context.WithoutCancel(ctx)
	s.Announce(c.Record(), events.ActionKill, map[string]string{"signal": strconv.Itoa(int(syscall.SIGKILL))})
	return s.killAndWait(ctx, c, ended)
}

func (s *stopper) killAndWait(ctx context.Context, c *Container, ended func(*record.Container, uint64, bool) bool) error {
	if err := s.cfg.Tasks.SignalAll(ctx, c.id); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, killPatience)
	defer cancel()
	if err := c.await(ctx, ended); err != nil {
		return fmt.Errorf("container %s did not end within %v of SIGKILL: %w", c.id, killPatience, err)
	}
	return nil
}

// beginStop silences the restart policy and returns the run to end; 0 when nothing runs. Waited tells
// that the container was between two runs and is stopped now.
func (s *stopper) beginStop(ctx context.Context, c *Container, byUser bool) (run uint64, waited bool, err error) {
	if err := c.lock(ctx); err != nil {
		return 0, false, err
	}
	defer c.unlock()
	c.cancelRestart()
	r := c.Record()
	if r.Status == record.Restarting {
		return 0, true, s.transition(c, record.Exited, func(r *record.Container) { r.ManuallyStopped = r.ManuallyStopped || byUser })
	}
	if !r.Up() {
		return 0, false, nil
	}
	c.mu.Lock()
	c.stopping++
	c.mu.Unlock()
	if byUser && !r.ManuallyStopped {
		err = s.amend(c, func(r *record.Container) { r.ManuallyStopped = true })
	}
	return r.Run, false, err
}

func (c *Container) endStop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping--
}

// stopSettings are the signal and the patience of a stop; a negative patience has no end.
func stopSettings(r *record.Container, o StopOptions) (syscall.Signal, time.Duration, error) {
	name := o.Signal
	if name == "" {
		name = r.Config.StopSignal
	}
	sig := syscall.SIGTERM
	if name != "" {
		var err error
		if sig, err = signal.ParseSignal(name); err != nil {
			return 0, 0, invalid(err.Error())
		}
	}
	wait := stopTimeout
	if r.Config.StopTimeout != nil {
		wait = time.Duration(*r.Config.StopTimeout) * time.Second
	}
	if o.Seconds != nil {
		wait = time.Duration(*o.Seconds) * time.Second
	}
	return sig, wait, nil
}

// signal wakes a frozen container first: a signal is only seen by a process that runs.
func (s *stopper) signal(ctx context.Context, c *Container, sig syscall.Signal) error {
	if c.Record().Status == record.Paused {
		if err := s.Unpause(ctx, c.id); err != nil && !errdefs.IsConflict(err) {
			return err
		}
	}
	if sig == syscall.SIGKILL {
		return s.cfg.Tasks.SignalAll(ctx, c.id)
	}
	return s.cfg.Tasks.Signal(ctx, c.id, int(sig))
}

// Restart stops it, if it runs, and starts it.
func (s *Service) Restart(ctx context.Context, ref string, o StopOptions) error {
	c, err := s.Get(ref)
	if err != nil {
		return err
	}
	if _, _, err := stopSettings(c.Record(), o); err != nil {
		return err
	}
	// Automatic removal waits until the user is done with it.
	if _, err := s.stop(ctx, c, o, false); err != nil {
		return fmt.Errorf("Cannot restart container %s: %w", ref, err)
	}
	if err := s.Start(ctx, c.id); err != nil && !errdefs.IsNotModified(err) {
		return fmt.Errorf("Cannot restart container %s: %w", ref, err)
	}
	s.Announce(c.Record(), events.ActionRestart, nil)
	return nil
}

// Kill sends a signal: a name with or without SIG, or a number; "" is SIGKILL, which also waits for the end.
func (s *stopper) Kill(ctx context.Context, ref, name string) error {
	sig := syscall.SIGKILL
	if name != "" {
		var err error
		if sig, err = signal.ParseSignal(name); err != nil {
			return invalid("invalid signal: " + name)
		}
	}
	c, err := s.Get(ref)
	if err != nil {
		return err
	}
	r := c.Record()
	if !r.Up() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot kill container: %s: container %s is not running", ref, r.ID))
	}
	if sig != syscall.SIGKILL && !isStopSignal(r, sig) {
		s.Announce(r, events.ActionKill, map[string]string{"signal": strconv.Itoa(int(sig))})
		return s.signal(ctx, c, sig)
	}
	run, _, err := s.beginStop(ctx, c, true)
	if err != nil || run == 0 {
		return err
	}
	s.Announce(r, events.ActionKill, map[string]string{"signal": strconv.Itoa(int(sig))})
	if sig != syscall.SIGKILL {
		c.endStop() // ManuallyStopped is on record: the policy stays silent
		return s.signal(ctx, c, sig)
	}
	defer c.endStop()
	return s.killAndWait(context.WithoutCancel(ctx), c, func(r *record.Container, _ uint64, removed bool) bool {
		return removed || !r.Up() || r.Run != run
	})
}

// isStopSignal reports whether a signal means that the user wants it to end.
func isStopSignal(r *record.Container, sig syscall.Signal) bool {
	if r.Config.StopSignal == "" {
		return sig == syscall.SIGTERM
	}
	stop, err := signal.ParseSignal(r.Config.StopSignal)
	return err == nil && stop == sig
}

// Pause freezes all processes. Errors: conflict.
func (s *stopper) Pause(ctx context.Context, ref string) error {
	c, err := s.locked(ctx, ref)
	if err != nil {
		return err
	}
	defer c.unlock()
	switch r := c.Record(); {
	case r.Status == record.Paused:
		return errdefs.ErrConflict.WithMessage("Container " + r.ID + " is already paused")
	case r.Status == record.Restarting:
		return errdefs.ErrConflict.WithMessage("Container " + r.ID + " is restarting, wait until the container is running")
	case !r.Up():
		return errdefs.ErrConflict.WithMessage("Container " + r.ID + " is not running")
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.cfg.Tasks.Pause(ctx, c.id); err != nil {
		return fmt.Errorf("cannot pause container %s: %w", c.id, err)
	}
	c.pauseHealth(true)
	if err := s.transition(c, record.Paused, nil); err != nil {
		return errors.Join(err, s.cfg.Tasks.Resume(ctx, c.id))
	}
	s.Announce(c.Record(), events.ActionPause, nil)
	return nil
}

// Unpause thaws them. Errors: conflict.
func (s *stopper) Unpause(ctx context.Context, ref string) error {
	c, err := s.locked(ctx, ref)
	if err != nil {
		return err
	}
	defer c.unlock()
	if r := c.Record(); r.Status != record.Paused {
		return errdefs.ErrConflict.WithMessage("Container " + r.ID + " is not paused")
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.cfg.Tasks.Resume(ctx, c.id); err != nil {
		return fmt.Errorf("cannot unpause container %s: %w", c.id, err)
	}
	if err := s.transition(c, record.Running, nil); err != nil {
		return err
	}
	c.pauseHealth(false)
	s.Announce(c.Record(), events.ActionUnPause, nil)
	return nil
}

// Wait returns a channel that gets the result when the condition holds. It is armed when Wait returns, so that a
// start that follows cannot be missed.
func (s *stopper) Wait(ctx context.Context, ref string, cond container.WaitCondition) (<-chan container.WaitResponse, error) {
	c, err := s.Get(ref)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	armed := c.exits
	c.mu.Unlock()
	var met func(*record.Container, uint64, bool) bool
	switch cond {
	case container.WaitConditionNotRunning, "":
		met = func(r *record.Container, _ uint64, removed bool) bool {
			return removed || !r.Up() && r.Status != record.Starting && r.Status != record.Restarting
		}
	case container.WaitConditionNextExit:
		met = func(r *record.Container, exits uint64, removed bool) bool { return removed || exits != armed }
	case container.WaitConditionRemoved:
		met = func(_ *record.Container, _ uint64, removed bool) bool { return removed }
	default:
		return nil, invalid(fmt.Sprintf("invalid condition: %q", cond))
	}
	out := make(chan container.WaitResponse, 1)
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		if c.awaitEither(ctx, s.ctx, met) != nil {
			close(out) // nobody waits any more
			return
		}
		r := c.Record()
		res := container.WaitResponse{StatusCode: int64(r.ExitCode)}
		out <- res
		close(out)
	}()
	return out, nil
}

// awaitEither is await with two contexts: the request's and the daemon's.
func (c *Container) awaitEither(ctx, also context.Context, ok func(*record.Container, uint64, bool) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(also, cancel)()
	return c.await(ctx, ok)
}
