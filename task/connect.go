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
func (s *Service) connect(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := s.tryConnect(ctx)
		if err == nil || ctx.Err() != nil || errdefs.IsFailedPrecondition(err) {
			return errors.Join(err, ctx.Err())
		}
		s.log.Warn("supervisor cannot be reached", "error", err)
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (s *Service) tryConnect(ctx context.Context) (err error) {
	conn, err := protocol.Dial(filepath.Join(s.cfg.Root, protocol.SocketName))
	if err != nil {
		if conn, err = s.spawn(); err != nil {
			return err
		}
	}
	l := newLink(conn, s.noticed)
	s.work.Go(func() { s.attend(l) })
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	body, _, err := l.call(ctx, protocol.OpHello, protocol.Hello{Version: protocol.Version, CatchUp: s.cfg.CatchUp})
	if err != nil {
		return err
	}
	var w protocol.Welcome
	if err := json.Unmarshal(body, &w); err != nil {
		return err
	}
	l.pid = w.Pid
	if w.Fresh {
		if err := s.handBack(ctx, l); err != nil {
			return err
		}
	}
	return s.use(l)
}

// handBack gives a new supervisor the descriptors of the last one, and lets it begin.
func (s *Service) handBack(ctx context.Context, l *link) error {
	err := s.held.each(func(h protocol.Held, files []*os.File) error {
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
func (s *Service) use(l *link) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errNotSent
	}
	s.link = l
	close(s.linked)
	s.told.resync()
	return nil
}

// attend reads from a link until it ends, and then looks for a new one.
func (s *Service) attend(l *link) {
	err := l.receive()
	s.mu.Lock()
	was := s.link == l
	if was {
		s.link, s.linked = nil, make(chan struct{})
	}
	closed := s.closed
	s.mu.Unlock()
	if !was || closed {
		return
	}
	s.log.Warn("supervisor has gone away", "pid", l.pid, "error", err)
	if err := errors.Join(l.close(), s.connect(s.ctx)); err != nil && s.ctx.Err() == nil {
		s.log.Error("containers have no supervisor", "error", err)
	}
}

// spawn starts a supervisor, in a session of its own so that it does not end with this process's group.
func (s *Service) spawn() (_ *protocol.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "supervisor"), os.NewFile(uintptr(fds[1]), "gantryd")
	const firstExtra = 3 // what ExtraFiles begin with
	cmd := exec.Command(s.cfg.Supervisor, "--root", s.cfg.Root, "--peer", fmt.Sprint(firstExtra))
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{theirs}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(cmd.Start(), theirs.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.cfg.Supervisor, err), ours.Close())
	}
	s.log.Info("started supervisor", "pid", cmd.Process.Pid)
	go func() {
		// It outlives the Service, on purpose: this only collects it if it ends first.
		if err := cmd.Wait(); err != nil {
			s.log.Warn("supervisor has ended", "pid", cmd.Process.Pid, "error", err)
		}
	}()
	return protocol.FileConn(ours)
}

// ask sends a request and decodes its answer into out, if that is not nil. Requests that may be repeated are, when the
// supervisor is replaced meanwhile.
func (s *Service) ask(ctx context.Context, op string, body, out any, files ...*os.File) error {
	data, extra, err := s.request(ctx, op, body, files...)
	if err != nil {
		return err
	}
	if err := protocol.CloseAll(extra); err != nil {
		return err
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, out)
}

func (s *Service) request(ctx context.Context, op string, body any, files ...*os.File) (json.RawMessage, []*os.File, error) {
	for {
		l, err := s.current(ctx)
		if err != nil {
			return nil, nil, err
		}
		data, extra, err := l.call(ctx, op, body, files...)
		again := errors.Is(err, errNotSent) || errors.Is(err, errLinkLost) && repeatable(op)
		if !again {
			return data, extra, err
		}
		select {
		case <-l.done: // then there will be another one
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// repeatable names the requests that do no harm when they are carried out twice.
func repeatable(op string) bool {
	switch op {
	case protocol.OpStart, protocol.OpExec, protocol.OpSignal, protocol.OpUpdate, protocol.OpShutdown, protocol.OpUpgrade:
		return false
	}
	return true
}

// current waits for a link.
func (s *Service) current(ctx context.Context) (*link, error) {
	for {
		s.mu.Lock()
		l, linked, closed := s.link, s.linked, s.closed
		s.mu.Unlock()
		if closed {
			return nil, errNotSent
		}
		if l != nil {
			return l, nil
		}
		select {
		case <-linked:
		case <-s.ctx.Done():
			return nil, errNotSent
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
