package supervisor

import (
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"gantry/supervisor/process"
	"gantry/task/protocol"
)

// teller tells gantryd what happens, and gives it copies of descriptors.
type teller struct {
	mu      sync.Mutex // guards session
	session *session   // nil while there is no gantryd
}

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

// replace makes a connection the one that is told things. It returns the one before.
func (g *teller) replace(by *session) (old *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old, g.session = g.session, by
	return old
}

// remove forgets a connection; it reports whether that was the one that is told things.
func (g *teller) remove(s *session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session != s {
		return false
	}
	g.session = nil
	return true
}

// tellExit tells gantryd, and returns what is closed when it has dealt with that, or there is nobody
// to wait for.
func (g *teller) tellExit(exit protocol.Exit, told <-chan struct{}) <-chan struct{} {
	session := g.current()
	known := make(chan struct{})
	if session == nil {
		close(known)
		return known
	}
	session.notice(protocol.OpExited, exit)
	go func() {
		defer close(known)
		select {
		case <-told:
		case <-time.After(toldTime):
		}
	}()
	return known
}

func (g *teller) current() *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.session
}

// keepTask gives gantryd copies of everything that a task holds.
func (g *teller) keepTask(to *session, t *task) {
	t.mu.Lock()
	init, execs := t.init, slices.Collect(maps.Values(t.execs))
	t.mu.Unlock()
	g.keep(to, t.target(), t.wires, init)
	for _, e := range execs {
		g.keepExec(to, t, e)
	}
}

func (g *teller) keepExec(to *session, t *task, e *execProcess) {
	t.mu.Lock()
	p := e.process
	t.mu.Unlock()
	g.keep(to, e.target(t), e.wires, p)
}

// keep gives gantryd copies of a process's descriptors. p may be nil.
func (g *teller) keep(to *session, of protocol.Target, w *wires, p *process.Process) {
	if to == nil {
		return
	}
	names, files := w.files()
	if p != nil && p.File() != nil {
		names, files = append(names, protocol.FileProcess), append(files, p.File())
	}
	to.notice(protocol.OpKeep, protocol.Held{Target: of, Names: names}, files...)
	if slices.Contains(names, protocol.FileStdin) && w.stdin.File() == nil {
		// It was closed meanwhile, and that may have been said first.
		g.dropStdin(of)
	}
}

// dropStdin makes gantryd close its copy: the process sees the end when the last one is closed.
func (g *teller) dropStdin(of protocol.Target) {
	g.current().notice(protocol.OpDrop, protocol.Held{Target: of, Names: []string{protocol.FileStdin}})
}

// drop makes gantryd close all its copies of a process's descriptors.
func (g *teller) drop(of protocol.Target) {
	g.current().notice(protocol.OpDrop, protocol.Held{Target: of})
}
