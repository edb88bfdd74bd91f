package stdio

import (
	"errors"
	"os"
	"sync"
)

// Stdin is where attached clients write: a pipe's end, or a terminal that comes later.
type Stdin struct {
	terminal bool
	once     bool
	onClose  func() // told when the process is to see the end, before it does

	ready chan struct{} // closed when file is known, or never will be

	mu     sync.Mutex
	file   *os.File // nil before ready, and after the end
	closed bool

	writing sync.Mutex // one client's piece at a time
}

// NewStdin makes the stdin of a process. once: it ends when the first client with stdin leaves. onClose may be nil.
func NewStdin(terminal, once bool, onClose func()) *Stdin {
	return &Stdin{terminal: terminal, once: once, onClose: onClose, ready: make(chan struct{})}
}

// Connect sets where input goes: the descriptor is owned by the Stdin, unless it is a terminal.
func (s *Stdin) Connect(file *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.file != nil {
		return
	}
	s.file = file
	close(s.ready)
}

// Once reports whether the first client that leaves ends the input.
func (s *Stdin) Once() bool { return s.once }

// File is the descriptor that input is written to; nil when there is none, or no more.
func (s *Stdin) File() *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file
}

// Write passes input on; it waits while the process does not read. After the end input is dropped.
func (s *Stdin) Write(p []byte) {
	if len(p) == 0 {
		return
	}
	<-s.ready
	s.writing.Lock()
	defer s.writing.Unlock()
	if file := s.File(); file != nil {
		_, err := file.Write(p)
		if err != nil && !errors.Is(err, os.ErrClosed) {
			s.Close() // EPIPE: the process has closed its side
		}
	}
}

// EndInput is a client's end of input: the process sees it, unless it has a terminal, where the
// end is a character.
func (s *Stdin) EndInput() {
	if !s.terminal {
		<-s.ready
		s.Close()
	}
}

// Close ends the input for good. Idempotent.
func (s *Stdin) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	file := s.file
	s.file = nil
	if file == nil {
		close(s.ready)
	}
	s.mu.Unlock()
	if file == nil || s.terminal {
		return
	}
	if s.onClose != nil {
		s.onClose()
	}
	_ = file.Close() // a pipe: nothing is pending that could fail
}
