package api

import (
	"context"

	"github.com/moby/moby/api/types/system"
)

// What this room needs of its neighbours beyond their services. The daemon hands in the real ones.
type (
	// System answers what concerns the engine as a whole.
	System interface {
		Info(ctx context.Context) (*system.Info, error)
		Version(ctx context.Context) (*system.VersionResponse, error)
		// DiskUsage measures the objects of the given types, all of them if there are none. Without verbose, only sums.
		DiskUsage(ctx context.Context, objects []system.DiskUsageObject, verbose bool) (*system.DiskUsage, error)
	}

	// detacher is a stream that wants to know that its client typed the detach keys rather than went away.
	detacher interface{ Detached() }
)
