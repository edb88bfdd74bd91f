package api

import (
	"context"
	"iter"

	"gantry/container/exec"
	"gantry/container/stdio"
	"gantry/logdriver"
	"gantry/task"

	containertypes "github.com/moby/moby/api/types/container"
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

	// attacher is *stdio.Service.
	attacher interface {
		Attach(ctx context.Context, ref string, o stdio.AttachOptions) (*stdio.Attached, error)
		Logs(ctx context.Context, ref string, o stdio.LogsOptions) (messages iter.Seq2[*logdriver.Message, error], tty bool, err error)
		Resize(ctx context.Context, ref string, height, width uint) error
	}

	// executor is *exec.Service.
	executor interface {
		Create(ctx context.Context, containerRef string, r containertypes.ExecCreateRequest) (string, error)
		Get(ctx context.Context, id string) (exec.Prepared, error)
		Start(ctx context.Context, id string, r containertypes.ExecStartRequest) (task.Stream, error)
		Inspect(ctx context.Context, id string) (*containertypes.ExecInspectResponse, error)
		Resize(ctx context.Context, id string, height, width uint) error
	}

	// detacher is a stream that wants to know that its client typed the detach keys rather than went away.
	detacher interface{ Detached() }
)
