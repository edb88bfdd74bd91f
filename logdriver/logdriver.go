// Package logdriver is where a container's output goes, and where it is read back from.
//
// A line is what a container wrote up to a newline; a message is a line, or a
// part of one that is longer than PartSize. Writers run in the supervisor, one
// for each container; readers run in the daemon and work on the files alone, so
// that they need no writer to be alive.
package logdriver

import (
	"context"
	"iter"
	"time"
)

// PartSize is the longest message, in bytes: longer lines are split, as Docker does.
const PartSize = 16 << 10

// Message is one entry of a log. A writer must not keep Line after Log returns.
type Message struct {
	Line      []byte    // without its newline
	Source    string    // "stdout" or "stderr"
	Time      time.Time // when the line began to be read
	Partial   bool      // more of the same line follows
	PartialID string    // the same for all parts of one line; "" for whole lines
	Ordinal   int       // of the part, from 1; 0 for whole lines
	Attrs     []Attr    // what --log-opt labels, env and tag select; readers only
}

// Attr is one detail of a message, shown by logs --details.
type Attr struct{ Key, Value string }

// Info is what a driver may know of the container. It is sent to the supervisor as JSON.
type Info struct {
	ContainerID   string
	ContainerName string // without the leading slash
	ImageID       string
	ImageName     string
	Command       string
	Created       time.Time
	Env           []string
	Labels        map[string]string
	Options       map[string]string // --log-opt, defaults merged in
	Path          string            // file (json-file) or directory (local) of the log
	DaemonName    string
}

// Writer stores messages. Log is called from one goroutine at a time; Flush makes what
// was logged visible to readers and is called when the container pauses writing.
type Writer interface {
	Log(m *Message) error
	Flush() error
	Close() error
}

// ReadConfig selects messages.
type ReadConfig struct {
	Since, Until time.Time // zero for no bound
	Tail         int       // the last messages; negative for all
	Follow       bool
	// Ended is closed when the container's writer is gone: a following reader
	// drains what is there and stops.
	Ended <-chan struct{}
}

// Reader reads a log back.
type Reader interface {
	// Read yields messages in the order written, across rotated files. A message is
	// valid until the next one. An error ends the sequence; a cancelled context
	// ends it without one.
	Read(ctx context.Context, cfg ReadConfig) iter.Seq2[*Message, error]
}
