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

// control acts on processes that run.
type control struct{ *parts }

// direct reports whether the task's processes are ordinary ones of this host.
func (t *task) direct() bool {
	k := t.record.Runtime.Kind
	return k == protocol.KindCrun || k == protocol.KindRunc
}

// streamPair makes the two ends of a stream, neither of which blocks.
func streamPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make stream: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "stream"), os.NewFile(uintptr(fds[1]), "stream"), nil
}

// signal sends a signal to an init or exec process. Errors: not found, when it is not running.
func (c *control) signal(ctx context.Context, r protocol.Signal) error {
	if r.Exec != "" {
		t, e, err := c.book.findExec(r.ID, r.Exec)
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
	t, err := c.book.findRunning(r.ID)
	if err != nil {
		return err
	}
	if t.direct() {
		return t.init.Signal(r.Signal)
	}
	return c.launcher.Kill(ctx, t.record.Runtime, c.cfg.Root, r.ID, r.Signal, false)
}

// signalAll kills every process of a container.
func (c *control) signalAll(ctx context.Context, id string) error {
	t, err := c.book.findRunning(id)
	if err != nil {
		return err
	}
	if !t.direct() {
		return c.launcher.Kill(ctx, t.record.Runtime, c.cfg.Root, id, int(unix.SIGKILL), true)
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
func (c *control) pause(ctx context.Context, id string) error {
	t, err := c.book.findRunning(id)
	if err != nil {
		return err
	}
	err = fs.ErrNotExist
	if t.direct() && t.group != nil {
		err = t.group.Freeze(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = c.launcher.Pause(ctx, t.record.Runtime, c.cfg.Root, id)
	}
	if err != nil {
		return err
	}
	return c.setPaused(t, true)
}

// resume undoes pause.
func (c *control) resume(ctx context.Context, id string) error {
	t, err := c.book.findRunning(id)
	if err != nil {
		return err
	}
	err = fs.ErrNotExist
	if t.direct() && t.group != nil {
		err = t.group.Thaw(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = c.launcher.Resume(ctx, t.record.Runtime, c.cfg.Root, id)
	}
	if err != nil {
		return err
	}
	return c.setPaused(t, false)
}

func (c *control) setPaused(t *task, paused bool) error {
	t.mu.Lock()
	t.record.Paused = paused
	t.mu.Unlock()
	return c.lives.save(t)
}

// update changes a container's limits.
func (c *control) update(ctx context.Context, u protocol.Update) error {
	t, err := c.book.findRunning(u.ID)
	if err != nil {
		return err
	}
	return c.launcher.Update(ctx, t.record.Runtime, c.cfg.Root, u.ID, u.Resources)
}

// resize sets the size of a process's terminal.
func (c *control) resize(r protocol.Resize) error {
	w, _, err := c.book.wiresOf(r.Target)
	if err != nil {
		return err
	}
	return w.resize(r.Height, r.Width)
}

// attach subscribes a client and returns its end of the stream.
func (c *control) attach(r protocol.Attach) (*os.File, error) {
	w, e, err := c.book.wiresOf(r.Target)
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
		c.noteAttached(r.Target, e)
	}
	return theirs, nil
}

// noteAttached puts on record that an exec's output is no longer held back.
func (c *control) noteAttached(of protocol.Target, e *execProcess) {
	t, err := c.book.find(of.ID)
	if err != nil {
		return
	}
	t.mu.Lock()
	e.record.Attached = true
	t.mu.Unlock()
	c.lives.saveExec(t, e)
}
