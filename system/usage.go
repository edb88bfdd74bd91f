package system

import (
	"context"
	"errors"
	"slices"
	"sync"

	"gantry/container"

	"github.com/moby/moby/api/types/build"
	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
)

// DiskUsage is GET /system/df: of the given kinds of objects, or of all of them. Without verbose there are only sums. It walks
// what it measures: O(files of volumes and rw layers). The kinds are measured at the same time. Errors: the rooms'.
func (s *Service) DiskUsage(ctx context.Context, objects []system.DiskUsageObject, verbose bool) (*system.DiskUsage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &system.DiskUsage{}
	measures := []struct {
		object  system.DiskUsageObject
		measure func() error
	}{
		{system.ImageObject, func() (err error) { out.ImageUsage, err = s.cfg.Images.DiskUsage(ctx, verbose); return err }},
		{system.ContainerObject, func() (err error) { out.ContainerUsage, err = s.containerUsage(ctx, verbose); return err }},
		{system.VolumeObject, func() (err error) { out.VolumeUsage, err = s.cfg.Volumes.DiskUsage(ctx, verbose); return err }},
		{system.BuildCacheObject, func() error { out.BuildCacheUsage = &build.DiskUsage{}; return nil }},
	}
	var work sync.WaitGroup
	errs := make([]error, len(measures))
	for i, m := range measures {
		if len(objects) > 0 && !slices.Contains(objects, m.object) {
			continue
		}
		work.Go(func() {
			if errs[i] = m.measure(); errs[i] != nil {
				cancel() // the answer is lost, so the others need not go on
			}
		})
	}
	work.Wait()
	return out, firstCause(errs)
}

// firstCause prefers the error that made the others cancel.
func firstCause(errs []error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// containerUsage adds up the rw layers: those of containers that do not run can be reclaimed.
func (s *Service) containerUsage(ctx context.Context, verbose bool) (*containertypes.DiskUsage, error) {
	all, err := s.cfg.Containers.List(ctx, container.ListOptions{All: true, Size: true})
	if err != nil {
		return nil, err
	}
	out := &containertypes.DiskUsage{TotalCount: int64(len(all))}
	for _, c := range all {
		out.TotalSize += c.SizeRw
		switch c.State {
		case containertypes.StateRunning, containertypes.StatePaused, containertypes.StateRestarting:
			out.ActiveCount++
		default:
			out.Reclaimable += c.SizeRw
		}
	}
	if verbose {
		out.Items = all
	}
	return out, nil
}
