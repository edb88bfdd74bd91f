package supervisor

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// session is one connection of gantryd.
type session struct{ conn *protocol.Conn }

// notice tells gantryd something. An error means that it is gone: the next one is told everything anew.
func (s *session) notice(op string, body any, files ...*os.File) {
	if s == nil {
		return
	}
	err := s.conn.Send(protocol.Message{Op: op, Body: protocol.Body(body)}, files...)
	if err != nil {
		slog.Debug("gantryd was not told", "notice", op, "error", err)
	}
}

func (s *Supervisor) accept(ctx context.Context) {
	for {
		socket, err := s.listener.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.log.Warn("supervisor's socket does not accept", "error", err)
			}
			return
		}
		go s.serve(ctx, protocol.NewConn(socket))
	}
}

// serve answers one gantryd until it leaves.
func (s *Supervisor) serve(ctx context.Context, conn *protocol.Conn) {
	me := &session{conn: conn}
	defer s.leave(me)
	for {
		m, files, err := conn.Receive()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.log.Warn("connection of gantryd is broken", "error", err)
			}
			return
		}
		if s.inOrder(m.Op) {
			s.answer(ctx, me, m, files)
			continue
		}
		go s.answer(ctx, me, m, files)
	}
}

// inOrder names the requests that nothing may overtake.
func (s *Supervisor) inOrder(op string) bool {
	switch op {
	case protocol.OpHello, protocol.OpRestore, protocol.OpReady:
		return true
	}
	return false
}

func (s *Supervisor) answer(ctx context.Context, me *session, m protocol.Message, files []*os.File) {
	if m.Op == protocol.OpUpgrade {
		s.answerUpgrade(ctx, me, m)
		return
	}
	if m.Op != protocol.OpSettled { // that may take as long as the container runs, and does nothing
		defer s.gate.enter()()
	}
	body, reply, err := s.handle(ctx, me, m, files)
	if m.Op != protocol.OpRestore { // those are kept
		err = errors.Join(err, protocol.CloseAll(files))
	}
	out := protocol.Message{Seq: m.Seq, Error: protocol.ToError(err)}
	if err == nil && body != nil {
		out.Body = protocol.Body(body)
	}
	if err := errors.Join(me.conn.Send(out, reply...), protocol.CloseAll(reply)); err != nil {
		s.log.Debug("answer was not sent", "request", m.Op, "error", err)
	}
	if m.Op == protocol.OpHello && err == nil {
		s.welcomed(me)
	}
}

// answerUpgrade answers only when there is no upgrade: else the connection ends.
func (s *Supervisor) answerUpgrade(ctx context.Context, me *session, m protocol.Message) {
	if err := s.Upgrade(ctx); err != nil {
		if err := me.conn.Send(protocol.Message{Seq: m.Seq, Error: protocol.ToError(err)}); err != nil {
			s.log.Debug("answer was not sent", "request", m.Op, "error", err)
		}
	}
}

// leave forgets a gantryd. What it had only begun goes with it.
func (s *Supervisor) leave(me *session) {
	if err := me.conn.Close(); err != nil {
		s.log.Debug("close connection of gantryd", "error", err)
	}
	s.mu.Lock()
	current := s.session == me
	if current {
		s.session = nil
	}
	s.mu.Unlock()
	if current {
		s.forgetPrepared()
	}
}

// forgetPrepared ends what a gantryd that has left prepared and never started.
func (s *Supervisor) forgetPrepared() {
	s.mu.Lock()
	forgotten := s.prepared
	s.prepared = map[string]*wires{}
	s.mu.Unlock()
	for id, w := range forgotten {
		s.discard(id, w)
	}
}

// discard ends wires that no process has.
func (s *Supervisor) discard(id string, w *wires) {
	if err := errors.Join(w.ends.Close(), w.close()); err != nil {
		s.log.Debug("discard stdio", "container", id, "error", err)
	}
}

// errClosing sends a gantryd to the next supervisor, which it starts.
var errClosing = errdefs.ErrUnavailable.WithMessage("supervisor is ending")

// hello makes a connection the one that is told things.
func (s *Supervisor) hello(me *session, h protocol.Hello) (protocol.Welcome, error) {
	w := protocol.Welcome{Version: protocol.Version, Pid: os.Getpid()}
	if h.Version != protocol.Version {
		return w, errdefs.ErrFailedPrecondition.WithMessage("gantryd and gantry-supervisor do not speak the same version: upgrade the supervisor in place")
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return w, errClosing
	}
	old := s.session
	s.session, s.catchUp = me, h.CatchUp
	w.Fresh = s.fresh
	s.mu.Unlock()
	if old != nil && old != me {
		s.leave(old) // it is dead, or should be: one gantryd has the exec root
		s.forgetPrepared()
	}
	return w, nil
}

// welcomed gives copies of all descriptors to a gantryd that has come to a supervisor at work.
func (s *Supervisor) welcomed(me *session) {
	s.mu.Lock()
	fresh := s.fresh
	s.mu.Unlock()
	if fresh {
		return // Ready does it
	}
	for _, t := range s.allTasks() {
		s.keepTask(me, t)
	}
}

func (s *Supervisor) current() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

func (s *Supervisor) allTasks() []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*task, 0, len(s.tasks))
	for _, t := range s.tasks {
		all = append(all, t)
	}
	return all
}
