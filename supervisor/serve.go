package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// server answers gantryd.
type server struct {
	*parts
	starter  *starter
	control  *control
	restorer *restorer
	listener *net.UnixListener
	upgrade  func(context.Context) error // returns only if it fails
	ended    chan struct{}               // closed when the process may go
	endOnce  sync.Once
}

// errClosing sends a gantryd to the next supervisor, which it starts.
var errClosing = errdefs.ErrUnavailable.WithMessage("supervisor is ending")

// handle carries out one request. The files that come with it belong to the caller, those it returns too.
func (s *server) handle(ctx context.Context, me *session, m protocol.Message, files []*os.File) (body any, reply []*os.File, err error) {
	switch m.Op {
	case protocol.OpHello:
		body, err = with(m, func(h protocol.Hello) (any, error) { return s.hello(me, h) })
	case protocol.OpRestore:
		body, err = with(m, func(h protocol.Held) (any, error) { return nil, s.restorer.restoreFiles(h, files) })
	case protocol.OpReady:
		s.restorer.ready(ctx)
	case protocol.OpStart:
		body, err = with(m, func(r protocol.Start) (any, error) { return s.starter.start(ctx, r, first(files)) })
	case protocol.OpExec:
		body, err = with(m, func(r protocol.Exec) (any, error) { return s.starter.exec(ctx, r) })
	case protocol.OpAttach:
		var socket *os.File
		_, err = with(m, func(r protocol.Attach) (any, error) {
			socket, err = s.control.attach(r)
			return nil, err
		})
		if err == nil {
			reply = []*os.File{socket}
		}
	default:
		body, err = s.handleTask(ctx, m)
	}
	return body, reply, err
}

// handleTask carries out what needs no descriptors.
func (s *server) handleTask(ctx context.Context, m protocol.Message) (any, error) {
	switch m.Op {
	case protocol.OpTasks:
		return s.book.list(), nil
	case protocol.OpPrepare:
		return with(m, func(p protocol.Prepare) (any, error) { return nil, s.book.prepare(p) })
	case protocol.OpForget:
		return with(m, func(t protocol.Target) (any, error) { s.book.forget(t.ID); return nil, nil })
	case protocol.OpAck:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.lives.acknowledge(t.ID, t.Run) })
	case protocol.OpTold:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.lives.told(t) })
	case protocol.OpSettled:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.book.settle(ctx, t.ID) })
	case protocol.OpSignal:
		return with(m, func(r protocol.Signal) (any, error) { return nil, s.control.signal(ctx, r) })
	case protocol.OpSignalAll:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.control.signalAll(ctx, t.ID) })
	case protocol.OpPause:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.control.pause(ctx, t.ID) })
	case protocol.OpResume:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.control.resume(ctx, t.ID) })
	case protocol.OpUpdate:
		return with(m, func(u protocol.Update) (any, error) { return nil, s.control.update(ctx, u) })
	case protocol.OpResize:
		return with(m, func(r protocol.Resize) (any, error) { return nil, s.control.resize(r) })
	case protocol.OpResolve:
		return with(m, func(q protocol.Resolve) (any, error) { return s.resolvers.set(q) })
	case protocol.OpUnresolve:
		return with(m, func(q protocol.Resolve) (any, error) { return nil, s.resolvers.remove(q.Sandbox) })
	case protocol.OpRetain:
		return with(m, func(r protocol.Retain) (any, error) { return nil, s.resolvers.retain(r.Sandboxes) })
	case protocol.OpShutdown:
		return nil, s.shutdown()
	case protocol.OpStatistics:
		return s.statistics()
	}
	return nil, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("supervisor does not know the request %q", m.Op))
}

// shutdown ends the supervisor, if it has nothing to look after. Errors: conflict.
func (s *server) shutdown() error {
	if n := s.book.close(); n > 0 {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("supervisor has %d tasks", n))
	}
	s.endOnce.Do(func() { close(s.ended) })
	return nil
}

func (s *server) statistics() (protocol.Statistics, error) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return protocol.Statistics{}, err
	}
	return protocol.Statistics{Tasks: s.book.len(), Goroutines: runtime.NumGoroutine(), Files: len(fds)}, nil
}

func (s *server) accept(ctx context.Context) {
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
func (s *server) serve(ctx context.Context, conn *protocol.Conn) {
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
func (s *server) inOrder(op string) bool {
	switch op {
	case protocol.OpHello, protocol.OpRestore, protocol.OpReady:
		return true
	}
	return false
}

func (s *server) answer(ctx context.Context, me *session, m protocol.Message, files []*os.File) {
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
func (s *server) answerUpgrade(ctx context.Context, me *session, m protocol.Message) {
	if err := s.upgrade(ctx); err != nil {
		if err := me.conn.Send(protocol.Message{Seq: m.Seq, Error: protocol.ToError(err)}); err != nil {
			s.log.Debug("answer was not sent", "request", m.Op, "error", err)
		}
	}
}

// leave forgets a gantryd. What it had only begun goes with it.
func (s *server) leave(me *session) {
	if err := me.conn.Close(); err != nil {
		s.log.Debug("close connection of gantryd", "error", err)
	}
	if s.teller.remove(me) {
		s.book.forgetPrepared()
	}
}

// hello makes a connection the one that is told things.
func (s *server) hello(me *session, h protocol.Hello) (protocol.Welcome, error) {
	w := protocol.Welcome{Version: protocol.Version, Pid: os.Getpid()}
	if h.Version != protocol.Version {
		return w, errdefs.ErrFailedPrecondition.WithMessage("gantryd and gantry-supervisor do not speak the same version: upgrade the supervisor in place")
	}
	if err := s.book.welcome(h.CatchUp); err != nil {
		return w, err
	}
	old := s.teller.replace(me)
	w.Fresh = s.restorer.waiting()
	if old != nil && old != me {
		s.leave(old) // it is dead, or should be: one gantryd has the exec root
		s.book.forgetPrepared()
	}
	return w, nil
}

// welcomed gives copies of all descriptors to a gantryd that has come to a supervisor at work.
func (s *server) welcomed(me *session) {
	if s.restorer.waiting() {
		return // Ready does it
	}
	for _, t := range s.book.allTasks() {
		s.teller.keepTask(me, t)
	}
}

// with decodes a request's body and hands it on.
func with[T any](m protocol.Message, do func(T) (any, error)) (any, error) {
	var body T
	if err := json.Unmarshal(m.Body, &body); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("request %s: %v", m.Op, err))
	}
	return do(body)
}

func first(files []*os.File) *os.File {
	if len(files) == 0 {
		return nil
	}
	return files[0]
}
