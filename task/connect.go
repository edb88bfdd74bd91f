package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Pauses between attempts to reach or start a supervisor.
const (
	firstPause = 5 * time.Millisecond
	longPause  = time.Second
)

// connect makes a link, to the supervisor that is there or to a new one, until ctx ends.
func (c *client) connect(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := c.tryConnect(ctx)
		if err == nil || ctx.Err() != nil || errdefs.IsFailedPrecondition(err) {
			return errors.Join(err, ctx.Err())
		}
		c.log.Warn("supervisor cannot be reached", "error", err)
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (c *client) tryConnect(ctx context.Context) (err error) {
	conn, err := protocol.Dial(filepath.Join(c.cfg.Root, protocol.SocketName))
	if err != nil {
		if conn, err = c.spawn(); err != nil {
			return err
		}
	}
	l := newLink(conn, c.noticed)
	c.work.Go(func() { c.attend(l) })
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	body, _, err := l.call(ctx, protocol.OpHello, protocol.Hello{Version: protocol.Version, CatchUp: c.cfg.CatchUp})
	if err != nil {
		return err
	}
	var w protocol.Welcome
	if err := json.Unmarshal(body, &w); err != nil {
		return err
	}
	l.pid = w.Pid
	if w.Fresh {
		if err := c.handBack(ctx, l); err != nil {
			return err
		}
	}
	c.resolveAgain(ctx, l)
	return c.use(l)
}

// handBack gives a new supervisor the descriptors of the last one, and lets it begin.
func (c *client) handBack(ctx context.Context, l *link) error {
	err := c.held.each(func(h protocol.Held, files []*os.File) error {
		_, _, err := l.call(ctx, protocol.OpRestore, h, files...)
		return err
	})
	if err != nil {
		return fmt.Errorf("hand back descriptors: %w", err)
	}
	_, _, err = l.call(ctx, protocol.OpReady, nil)
	return err
}

// use makes the link the one that requests take.
func (c *client) use(l *link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errNotSent
	}
	c.link = l
	close(c.linked)
	c.told.resync()
	return nil
}

// attend reads from a link until it ends, and then looks for a new one.
func (c *client) attend(l *link) {
	err := l.receive()
	c.mu.Lock()
	was := c.link == l
	if was {
		c.link, c.linked = nil, make(chan struct{})
	}
	closed := c.closed
	c.mu.Unlock()
	if !was || closed {
		return
	}
	c.log.Warn("supervisor has gone away", "pid", l.pid, "error", err)
	if err := errors.Join(l.close(), c.connect(c.ctx)); err != nil && c.ctx.Err() == nil {
		c.log.Error("containers have no supervisor", "error", err)
	}
}

// spawn starts a supervisor, in a session of its own so that it does not end with this process's group.
func (c *client) spawn() (_ *protocol.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "supervisor"), os.NewFile(uintptr(fds[1]), "gantryd")
	const firstExtra = 3 // what ExtraFiles begin with
	cmd := exec.Command(c.cfg.Supervisor, "--root", c.cfg.Root, "--peer", fmt.Sprint(firstExtra))
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{theirs}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(cmd.Start(), theirs.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.cfg.Supervisor, err), ours.Close())
	}
	c.log.Info("started supervisor", "pid", cmd.Process.Pid)
	go func() {
		// It outlives the Service, on purpose: this only collects it if it ends first.
		if err := cmd.Wait(); err != nil {
			c.log.Warn("supervisor has ended", "pid", cmd.Process.Pid, "error", err)
		}
	}()
	return protocol.FileConn(ours)
}
