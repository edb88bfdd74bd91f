package system

import (
	"context"

	"gantry/container"
	"gantry/task"

	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/volume"
)

// What this room asks of the others. Their services have these methods.
type (
	Containers interface {
		Count() container.Counts
		List(ctx context.Context, o container.ListOptions) ([]containertypes.Summary, error)
		Warnings() []string
	}

	Images interface {
		Count(ctx context.Context) (int, error)
		DiskUsage(ctx context.Context, verbose bool) (*image.DiskUsage, error)
	}

	Volumes interface {
		DiskUsage(ctx context.Context, verbose bool) (*volume.DiskUsage, error)
	}

	Storage interface {
		Driver() (name string, status [][2]string)
	}

	Runtimes interface {
		Runtimes() (all map[string]task.Runtime, byDefault string)
		Warnings() []string
	}

	Security interface {
		Info() []string
	}

	Events interface {
		Subscribers() int
	}
)
