// Package container holds containers as the user knows them: their records, names and life.
package container

import (
	"context"
	"io"

	"gantry/container/record"
	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Service is the life cycle of containers. Safe for concurrent use.
type Service struct{}

// Container is one container: its record for readers, its lock for operations.
type Container struct{}

// Record returns the current state without waiting for anybody. It is immutable.
func (c *Container) Record() *record.Container { return nil }

// Get finds a container by ID, name or unambiguous ID prefix. Errors: not found ("No such container: web"),
// invalid argument (an ambiguous prefix).
func (s *Service) Get(ref string) (*Container, error) { return nil, errdefs.ErrNotImplemented }

// CreateRequest is POST /containers/create.
type CreateRequest struct {
	Name       string // "" for a random one
	Platform   *ocispec.Platform
	Config     *container.Config
	HostConfig *container.HostConfig
	Networking *network.NetworkingConfig
}

// Create makes a container that can be started. Errors: not found (image), conflict (name in use),
// invalid argument (settings). Nothing is left behind when it fails.
func (s *Service) Create(ctx context.Context, r CreateRequest) (container.CreateResponse, error) {
	return container.CreateResponse{}, errdefs.ErrNotImplemented
}

// Start runs it. Errors: not modified (it runs), conflict (paused, being removed), and what the runtime
// says.
func (s *Service) Start(ctx context.Context, ref string) error { return errdefs.ErrNotImplemented }

// StopOptions of stop and restart: zero values are the container's own.
type StopOptions struct {
	Signal  string
	Seconds *int // before it is killed; negative waits for ever
}

// Stop sends the stop signal, then SIGKILL. Errors: not modified (it does not run).
func (s *Service) Stop(ctx context.Context, ref string, o StopOptions) error {
	return errdefs.ErrNotImplemented
}
func (s *Service) Restart(ctx context.Context, ref string, o StopOptions) error {
	return errdefs.ErrNotImplemented
}

// Kill sends a signal: a name with or without SIG, or a number; "" is SIGKILL, which also waits for the end.
func (s *Service) Kill(ctx context.Context, ref, signal string) error {
	return errdefs.ErrNotImplemented
}
func (s *Service) Pause(ctx context.Context, ref string) error   { return errdefs.ErrNotImplemented }
func (s *Service) Unpause(ctx context.Context, ref string) error { return errdefs.ErrNotImplemented }

// Wait returns a channel that gets the result when the condition holds. It is armed when Wait returns, so that a
// start that follows cannot be missed.
func (s *Service) Wait(ctx context.Context, ref string, cond container.WaitCondition) (<-chan container.WaitResponse, error) {
	return nil, errdefs.ErrNotImplemented
}

// RemoveOptions of DELETE /containers/{id}.
type RemoveOptions struct{ Force, Volumes, Link bool }

func (s *Service) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	return errdefs.ErrNotImplemented
}
func (s *Service) Rename(ctx context.Context, ref, name string) error {
	return errdefs.ErrNotImplemented
}
func (s *Service) Update(ctx context.Context, ref string, u container.UpdateConfig) (container.UpdateResponse, error) {
	return container.UpdateResponse{}, errdefs.ErrNotImplemented
}

// ListOptions of GET /containers/json. Filters are checked here. Errors: invalid argument.
type ListOptions struct {
	All, Size bool
	Limit     int // 0 for no limit
	Filters   filter.Args
}

func (s *Service) List(ctx context.Context, o ListOptions) ([]container.Summary, error) {
	return nil, errdefs.ErrNotImplemented
}

// Inspect is GET /containers/{id}/json in the newest shape.
func (s *Service) Inspect(ctx context.Context, ref string, size bool) (*container.InspectResponse, error) {
	return nil, errdefs.ErrNotImplemented
}
func (s *Service) Prune(ctx context.Context, f filter.Args) (*container.PruneReport, error) {
	return nil, errdefs.ErrNotImplemented
}

// CommitRequest is POST /commit.
type CommitRequest struct {
	Container       string
	Repo, Tag       string
	Author, Comment string
	Changes         []string
	Config          *container.Config // replaces the container's where a field is set
	NoPause         bool
}

// Commit makes an image of the container's rw layer and returns its ID.
func (s *Service) Commit(ctx context.Context, r CommitRequest) (string, error) {
	return "", errdefs.ErrNotImplemented
}

// DiskUsage is the containers' part of system df.
func (s *Service) DiskUsage(ctx context.Context, verbose bool) (*container.DiskUsage, error) {
	return nil, errdefs.ErrNotImplemented
}

// Counts for /info and metrics.
type Counts struct{ Total, Running, Paused, Stopped int }

func (s *Service) Count() Counts { return Counts{} }

var _ io.Reader
