// Package stats measures running containers.
package stats

import (
	"context"
	"iter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// Service reads cgroups and process tables. Safe for concurrent use.
type Service struct{}

// Stream yields one sample a second until ctx ends or the container is removed; of a container that does not
// run, samples are empty but for its names. Errors: not found.
func (s *Service) Stream(ctx context.Context, ref string) (iter.Seq[*container.StatsResponse], error) {
	return nil, errdefs.ErrNotImplemented
}

// Sample returns one sample: at once if oneShot, else with the CPU figures of one second before it.
func (s *Service) Sample(ctx context.Context, ref string, oneShot bool) (*container.StatsResponse, error) {
	return nil, errdefs.ErrNotImplemented
}

// Top lists the container's processes as `ps` with args ("-ef" if empty) shows them. Errors: not found; conflict (not running);
// invalid argument (arguments that ps does not know).
func (s *Service) Top(ctx context.Context, ref, args string) (*container.TopResponse, error) {
	return nil, errdefs.ErrNotImplemented
}
