// Package exec runs further processes in running containers.
package exec

import (
	"context"

	"gantry/task"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// Service keeps the execs of all containers. Safe for concurrent use.
type Service struct{}

// Create prepares a process in a running container and returns its ID, 64 hex digits. Errors: not found
// (container), conflict ("container X is not running", "... is paused ..."), invalid argument.
func (s *Service) Create(ctx context.Context, containerRef string, r container.ExecCreateRequest) (string, error) {
	return "", errdefs.ErrNotImplemented
}

// Prepared is an exec that is about to start.
type Prepared struct {
	Tty  bool
	Open [3]bool // stdin, stdout, stderr
}

// Start runs it, attached to the returned stream unless detach is set: then it is nil. Errors: not found ("No such exec instance: ID"),
// conflict (it has run already), and what the runtime says.
func (s *Service) Start(ctx context.Context, id string, r container.ExecStartRequest) (task.Stream, error) {
	return nil, errdefs.ErrNotImplemented
}

// Get tells how an exec is connected, before Start. Errors: not found, conflict (container not running or paused).
func (s *Service) Get(ctx context.Context, id string) (Prepared, error) {
	return Prepared{}, errdefs.ErrNotImplemented
}

func (s *Service) Inspect(ctx context.Context, id string) (*container.ExecInspectResponse, error) {
	return nil, errdefs.ErrNotImplemented
}

func (s *Service) Resize(ctx context.Context, id string, height, width uint) error {
	return errdefs.ErrNotImplemented
}
