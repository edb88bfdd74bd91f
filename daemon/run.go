// Package daemon is where all rooms meet: it opens them in order, serves the API, and closes them in reverse.
package daemon

import (
	"context"

	"gantry/config"

	"github.com/containerd/errdefs"
)

// Run opens the daemon, serves its API until ctx ends or a signal asks it to stop, and closes it.
func Run(ctx context.Context, cfg *config.Config) error { return errdefs.ErrNotImplemented }
