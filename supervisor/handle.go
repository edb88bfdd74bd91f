package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// handle carries out one request. The files that come with it belong to the caller, those it returns too.
func (s *Supervisor) handle(ctx context.Context, me *session, m protocol.Message, files []*os.File) (body any, reply []*os.File, err error) {
	switch m.Op {
	case protocol.OpHello:
		body, err = with(m, func(h protocol.Hello) (any, error) { return s.hello(me, h) })
	case protocol.OpRestore:
		body, err = with(m, func(h protocol.Held) (any, error) { return nil, s.restoreFiles(h, files) })
	case protocol.OpReady:
		s.ready(ctx)
	case protocol.OpStart:
		body, err = with(m, func(r protocol.Start) (any, error) { return s.start(ctx, r, first(files)) })
	case protocol.OpExec:
		body, err = with(m, func(r protocol.Exec) (any, error) { return s.exec(ctx, r) })
	case protocol.OpAttach:
		var socket *os.File
		_, err = with(m, func(r protocol.Attach) (any, error) {
			socket, err = s.attach(r)
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
func (s *Supervisor) handleTask(ctx context.Context, m protocol.Message) (any, error) {
	switch m.Op {
	case protocol.OpTasks:
		return s.list(), nil
	case protocol.OpPrepare:
		return with(m, func(p protocol.Prepare) (any, error) { return nil, s.prepare(p) })
	case protocol.OpForget:
		return with(m, func(t protocol.Target) (any, error) { s.forget(t.ID); return nil, nil })
	case protocol.OpAck:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.acknowledge(t.ID, t.Run) })
	case protocol.OpTold:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.told(t) })
	case protocol.OpSettled:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.settle(ctx, t.ID) })
	case protocol.OpSignal:
		return with(m, func(r protocol.Signal) (any, error) { return nil, s.signal(ctx, r) })
	case protocol.OpSignalAll:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.signalAll(ctx, t.ID) })
	case protocol.OpPause:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.pause(ctx, t.ID) })
	case protocol.OpResume:
		return with(m, func(t protocol.Target) (any, error) { return nil, s.resume(ctx, t.ID) })
	case protocol.OpUpdate:
		return with(m, func(u protocol.Update) (any, error) { return nil, s.update(ctx, u) })
	case protocol.OpResize:
		return with(m, func(r protocol.Resize) (any, error) { return nil, s.resize(r) })
	case protocol.OpShutdown:
		return nil, s.shutdown()
	case protocol.OpStatistics:
		return s.statistics()
	}
	return nil, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("supervisor does not know the request %q", m.Op))
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

func (s *Supervisor) list() []protocol.Task {
	var all []protocol.Task
	for _, t := range s.allTasks() {
		t.mu.Lock()
		hidden := t.closed || t.init == nil && t.exit == nil
		t.mu.Unlock()
		if !hidden {
			all = append(all, t.snapshot())
		}
	}
	return all
}

// shutdown ends the supervisor, if it has nothing to look after. Errors: conflict.
func (s *Supervisor) shutdown() error {
	s.mu.Lock()
	n := len(s.tasks)
	s.closing = n == 0
	s.mu.Unlock()
	if n > 0 {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("supervisor has %d tasks", n))
	}
	s.endOnce.Do(func() { close(s.ended) })
	return nil
}

func (s *Supervisor) statistics() (protocol.Statistics, error) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return protocol.Statistics{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return protocol.Statistics{Tasks: len(s.tasks), Goroutines: runtime.NumGoroutine(), Files: len(fds)}, nil
}
