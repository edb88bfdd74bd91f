// Package stdio is attach, logs and resize: what a client reads from a container and writes to it.
package stdio

import (
	"context"
	"iter"
	"time"

	"gantry/logdriver"
	"gantry/task"

	"github.com/containerd/errdefs"
)

// Service serves the streams of containers. Safe for concurrent use.
type Service struct{}

// AttachOptions of POST /containers/{id}/attach.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	Stream                bool // false: only Logs
	Logs                  bool // what the log has comes first
}

// Attached is a client's connection to a container.
type Attached struct {
	Tty    bool
	Logs   iter.Seq2[*logdriver.Message, error] // to be written first; nil if not asked for
	Stream task.Stream                          // nil when only logs are wanted
}

// Attach connects a client, before or after the container's start. Errors: not found, conflict (paused, restarting:
// "container X is paused, unpause the container before attach").
func (s *Service) Attach(ctx context.Context, ref string, o AttachOptions) (*Attached, error) {
	return nil, errdefs.ErrNotImplemented
}

// LogsOptions of GET /containers/{id}/logs.
type LogsOptions struct {
	Stdout, Stderr bool
	Since, Until   time.Time
	Tail           int // negative for all
	Follow         bool
}

// Logs reads the log back; tty tells whether frames are to be used. Errors: not found; invalid argument; not implemented
// ("configured logging driver does not support reading").
func (s *Service) Logs(ctx context.Context, ref string, o LogsOptions) (messages iter.Seq2[*logdriver.Message, error], tty bool, err error) {
	return nil, false, errdefs.ErrNotImplemented
}

// Resize sets the terminal's size, in characters.
func (s *Service) Resize(ctx context.Context, ref string, height, width uint) error {
	return errdefs.ErrNotImplemented
}
