package stdio

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"gantry/logdriver"
)

// Log is the log of one container. Both of its streams write to it.
type Log struct {
	logger *slog.Logger

	mu     sync.Mutex // the writer is for one goroutine at a time
	writer logdriver.Writer
	failed bool // reported already
	closed bool
}

// NewLog takes over a writer. Failures are reported to logger, the first of a row only.
func NewLog(w logdriver.Writer, logger *slog.Logger) *Log { return &Log{writer: w, logger: logger} }

// Lines returns the log's end for one stream, "stdout" or "stderr".
func (l *Log) Lines(source string) *Lines { return &Lines{log: l, source: source} }

// Close flushes and closes the writer. Idempotent.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	l.report(l.writer.Flush())
	l.report(l.writer.Close())
}

func (l *Log) report(err error) {
	if err != nil && !l.failed {
		l.logger.Warn("log of container is not written", "error", err)
	}
	l.failed = err != nil
}

// Lines cuts a stream into messages: a line each, or parts of logdriver.PartSize of a longer one.
type Lines struct {
	log    *Log
	source string

	rest    []byte    // of a line whose end has not come; shorter than a part
	began   time.Time // of that line
	partID  string    // "" until the line has its second part
	ordinal int

	msg logdriver.Message // what the writer is given: one for all lines, since it keeps none
}

// Unread is the beginning of a line whose end has not come.
type Unread struct {
	Rest    []byte    `json:"rest"`
	Began   time.Time `json:"began"`
	PartID  string    `json:"partID,omitempty"`
	Ordinal int       `json:"ordinal,omitempty"`
}

// Unread returns what has not been logged, for another Lines to go on with.
func (s *Lines) Unread() Unread {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return Unread{Rest: s.rest, Began: s.began, PartID: s.partID, Ordinal: s.ordinal}
}

// Resume goes on with what another Lines has not logged.
func (s *Lines) Resume(u Unread) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.rest, s.began, s.partID, s.ordinal = u.Rest, u.Began, u.PartID, u.Ordinal
}

// Write logs the lines that p ends, and keeps the beginning of the next.
func (s *Lines) Write(p []byte) {
	now := time.Now()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for len(p) > 0 {
		if len(s.rest) == 0 && s.partID == "" {
			s.began = now
		}
		end := bytes.IndexByte(p[:min(len(p), logdriver.PartSize-len(s.rest)+1)], '\n')
		switch {
		case end >= 0:
			s.message(p[:end], false)
			p = p[end+1:]
		case len(s.rest)+len(p) > logdriver.PartSize:
			end = logdriver.PartSize - len(s.rest)
			s.message(p[:end], true)
			p = p[end:]
		default:
			s.rest = append(s.rest, p...)
			return
		}
	}
}

// message logs what is kept and tail as one message.
func (s *Lines) message(tail []byte, partial bool) {
	m := &s.msg
	*m = logdriver.Message{Line: tail, Source: s.source, Time: s.began, Partial: partial}
	if len(s.rest) > 0 {
		s.rest = append(s.rest, tail...)
		m.Line = s.rest
	}
	if partial && s.partID == "" {
		s.partID = newPartID()
	}
	if s.partID != "" {
		s.ordinal++
		m.PartialID, m.Ordinal = s.partID, s.ordinal
	}
	if !s.log.closed {
		s.log.report(s.log.writer.Log(m))
	}
	s.rest = nil
	if !partial {
		s.partID, s.ordinal = "", 0
	}
}

// Flush makes what was logged visible to readers.
func (s *Lines) Flush() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if !s.log.closed {
		s.log.report(s.log.writer.Flush())
	}
}

// End logs a last line that has no newline: as a part, since its end is missing.
func (s *Lines) End() {
	s.log.mu.Lock()
	if len(s.rest) > 0 {
		s.message(nil, true)
	}
	s.log.mu.Unlock()
	s.Flush()
}

func newPartID() string {
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand
	return hex.EncodeToString(id[:])
}
