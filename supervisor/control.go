package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"gantry/supervisor/stdio"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// direct reports whether the task's processes are ordinary ones of this host.
func (t *task) direct() bool {
	k := t.record.Runtime.Kind
	return k == protocol.KindCrun || k == protocol.KindRunc
}

// signal sends a signal to an init or exec process. Errors: not found, when it is not running.
func (s *Supervisor) signal(ctx context.Context, r protocol.Signal) error {
	if r.Exec != "" {
		t, e, err := s.findExec(r.ID, r.Exec)
		if err != nil {
			return err
		}
		t.mu.Lock()
		p := e.process
		t.mu.Unlock()
		if p == nil {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("exec %s is not running", r.Exec))
		}
		return p.Signal(r.Signal)
	}
	t, err := s.findRunning(r.ID)
	if err != nil {
		return err
	}
	if t.direct() {
		return t.init.Signal(r.Signal)
	}
	return s.launcher.Kill(ctx, t.record.Runtime, s.cfg.Root, r.ID, r.Signal, false)
}

// signalAll kills every process of a container.
func (s *Supervisor) signalAll(ctx context.Context, id string) error {
	t, err := s.findRunning(id)
	if err != nil {
		return err
	}
	if !t.direct() {
		return s.launcher.Kill(ctx, t.record.Runtime, s.cfg.Root, id, int(unix.SIGKILL), true)
	}
	if err := t.init.Signal(int(unix.SIGKILL)); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if t.group == nil {
		return nil
	}
	if err := t.group.Kill(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// pause freezes a container. Errors: conflict, when it is paused.
func (s *Supervisor) pause(ctx context.Context, id string) error {
	t, err := s.findRunning(id)
	if err != nil {
		return err
	}
	err = fs.ErrNotExist
	if t.direct() && t.group != nil {
		err = t.group.Freeze(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = s.launcher.Pause(ctx, t.record.Runtime, s.cfg.Root, id)
	}
	if err != nil {
		return err
	}
	return s.setPaused(t, true)
}

// resume undoes pause.
func (s *Supervisor) resume(ctx context.Context, id string) error {
	t, err := s.findRunning(id)
	if err != nil {
		return err
	}
	err = fs.ErrNotExist
	if t.direct() && t.group != nil {
		err = t.group.Thaw(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = s.launcher.Resume(ctx, t.record.Runtime, s.cfg.Root, id)
	}
	if err != nil {
		return err
	}
	return s.setPaused(t, false)
}

func (s *Supervisor) setPaused(t *task, paused bool) error {
	t.mu.Lock()
	t.record.Paused = paused
	t.mu.Unlock()
	return s.save(t)
}

// update changes a container's limits.
func (s *Supervisor) update(ctx context.Context, u protocol.Update) error {
	t, err := s.findRunning(u.ID)
	if err != nil {
		return err
	}
	return s.launcher.Update(ctx, t.record.Runtime, s.cfg.Root, u.ID, u.Resources)
}

// resize sets the size of a process's terminal.
func (s *Supervisor) resize(r protocol.Resize) error {
	w, _, err := s.wiresOf(r.Target)
	if err != nil {
		return err
	}
	return w.resize(r.Height, r.Width)
}

// wiresOf finds the stdio of a process: that of an init process may only have been prepared. e is nil for init.
func (s *Supervisor) wiresOf(of protocol.Target) (w *wires, e *execProcess, err error) {
	if of.Exec != "" {
		_, e, err := s.findExec(of.ID, of.Exec)
		if err != nil {
			return nil, nil, err
		}
		return e.wires, e, nil
	}
	s.mu.Lock()
	w = s.prepared[of.ID]
	s.mu.Unlock()
	if w != nil {
		return w, nil, nil
	}
	t, err := s.find(of.ID)
	if err != nil {
		return nil, nil, err
	}
	return t.wires, nil, nil
}

// attach subscribes a client and returns its end of the stream.
func (s *Supervisor) attach(r protocol.Attach) (*os.File, error) {
	w, e, err := s.wiresOf(r.Target)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := streamPair()
	if err != nil {
		return nil, err
	}
	w.fan.Subscribe(ours, stdio.Wants{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, CloseStdin: r.CloseStdin}, w.stdin)
	if e != nil && !w.flowing() {
		w.release()
		s.noteAttached(r.Target, e)
	}
	return theirs, nil
}

// noteAttached puts on record that an exec's output is no longer held back.
func (s *Supervisor) noteAttached(of protocol.Target, e *execProcess) {
	t, err := s.find(of.ID)
	if err != nil {
		return
	}
	t.mu.Lock()
	e.record.Attached = true
	t.mu.Unlock()
	s.saveExec(t, e)
}

// streamPair makes the two ends of a stream, neither of which blocks.
func streamPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make stream: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "stream"), os.NewFile(uintptr(fds[1]), "stream"), nil
}
