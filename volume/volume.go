// Package volume keeps named and anonymous volumes.
package volume

import (
	"context"

	"gantry/events"
	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
)

type Config struct {
	Root   string // data root; the room's own is Root/volumes
	Events *events.Journal
}

// Service is the volume store. Safe for concurrent use.
type Service struct{}

func Open(ctx context.Context, cfg Config) (*Service, error) { return nil, errdefs.ErrNotImplemented }

func (s *Service) Close(context.Context) error { return nil }

// Create makes a volume, or returns the one of that name if its driver and options agree.
// An empty name makes an anonymous one: 64 hex digits and the label com.docker.volume.anonymous.
// Errors: invalid argument (name, option), conflict (another driver), not found (driver).
func (s *Service) Create(ctx context.Context, o volume.CreateRequest) (*volume.Volume, error) {
	return nil, errdefs.ErrNotImplemented
}

// Inspect returns one volume. Errors: not found ("get NAME: no such volume").
func (s *Service) Inspect(ctx context.Context, name string) (*volume.Volume, error) {
	return nil, errdefs.ErrNotImplemented
}

func (s *Service) List(ctx context.Context, f filter.Args) (volume.ListResponse, error) {
	return volume.ListResponse{}, errdefs.ErrNotImplemented
}

// Remove removes an unused volume; force makes a missing one no error. Errors: not found, conflict
// ("remove NAME: volume is in use - [container IDs]").
func (s *Service) Remove(ctx context.Context, name string, force bool) error {
	return errdefs.ErrNotImplemented
}

// Prune removes unused anonymous volumes, or all unused ones with the filter all=true.
func (s *Service) Prune(ctx context.Context, f filter.Args) (volume.PruneReport, error) {
	return volume.PruneReport{}, errdefs.ErrNotImplemented
}

// Holder is who uses a volume.
type Holder struct{ Kind, ID, Name string }

// Hold keeps a volume from being removed until release is called.
func (s *Service) Hold(ctx context.Context, name string, h Holder) (release func(context.Context) error, err error) {
	return nil, errdefs.ErrNotImplemented
}

// Mount makes a volume's data available at the returned host path for a user (a container ID);
// Unmount undoes it when the last user is gone. Both publish the volume's mount and unmount events.
func (s *Service) Mount(ctx context.Context, name, user string) (path string, err error) {
	return "", errdefs.ErrNotImplemented
}
func (s *Service) Unmount(ctx context.Context, name, user string) error {
	return errdefs.ErrNotImplemented
}

// DiskUsage is the volumes' part of system df. It walks every volume: O(files).
func (s *Service) DiskUsage(ctx context.Context, verbose bool) (*volume.DiskUsage, error) {
	return nil, errdefs.ErrNotImplemented
}
