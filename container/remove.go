package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	"gantry/container/record"
	"gantry/internal/fault"
	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// RemoveOptions of DELETE /containers/{id}.
type RemoveOptions struct{ Force, Volumes, Link bool }

// remover takes containers apart.
type remover struct {
	*records
	stops *stopper
}

// Remove removes a container. Errors: conflict (it runs), not found.
func (s *remover) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	defer s.observe("delete", time.Now())
	if o.Link {
		return s.removeLink(context.WithoutCancel(ctx), ref)
	}
	c, err := s.Get(ref)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if o.Force {
		run, _, err := s.stops.beginStop(ctx, c, true)
		if err != nil {
			return err
		}
		if run != 0 {
			defer c.endStop()
			err := s.stops.killAndWait(ctx, c, func(r *record.Container, _ uint64, removed bool) bool { return removed || !r.Up() || r.Run != run })
			if err != nil {
				return fmt.Errorf("cannot remove container %q: could not kill: %w", "/"+c.Record().Name, err)
			}
		}
	}
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	if c.Gone() {
		if o.Force {
			return nil // its automatic removal was quicker
		}
		return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	if r := c.Record(); r.Up() {
		way := "stop the container before removing or force remove"
		if r.Status == record.Paused {
			way = "unpause and then stop the container before removing or force remove"
		}
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %q: container is %s: %s", "/"+r.Name, r.Status, way))
	}
	c.cancelRestart()
	return s.removeLocked(ctx, c, o)
}

// removeLocked removes a container that does not run; the caller holds its lock. What fails leaves it dead, to be removed again.
func (s *remover) removeLocked(ctx context.Context, c *Container, o RemoveOptions) error {
	if err := s.transition(c, record.Removing, nil); err != nil {
		return err
	}
	fault.Point("container.remove.removing")
	if err := s.dismantle(ctx, c, o); err != nil {
		failed := s.transition(c, record.Dead, func(r *record.Container) { r.Error = err.Error() })
		return errors.Join(fmt.Errorf("container %s: driver %q failed to remove root filesystem: %w", c.id, c.Record().Driver, err), failed)
	}
	r := c.Record()
	s.index.remove(c.id)
	c.mu.Lock()
	c.removed = true
	c.mu.Unlock()
	c.publish(r)
	s.Announce(r, events.ActionDestroy, nil)
	return nil
}

// dismantle takes away all that a container has; each step can be done again after a crash.
func (s *remover) dismantle(ctx context.Context, c *Container, o RemoveOptions) error {
	if err := s.cfg.Tasks.Settled(ctx, c.id); err != nil {
		return err
	}
	if err := s.cfg.Storage.RemoveRW(ctx, c.id); err != nil {
		return err
	}
	fault.Point("container.remove.layer")
	if err := c.releaseHolds(ctx); err != nil {
		return err
	}
	if o.Volumes {
		if err := s.removeVolumes(ctx, c.Record()); err != nil {
			return err
		}
	}
	fault.Point("container.remove.volumes")
	if err := errors.Join(unmountShm(c), unmountTrees(c)); err != nil {
		return err
	}
	if label := c.Record().ProcessLabel; label != "" {
		s.cfg.Security.ReleaseLabels(label)
	}
	return os.RemoveAll(c.dir)
}

// removeVolumes removes the anonymous ones that no other container uses.
func (s *remover) removeVolumes(ctx context.Context, r *record.Container) error {
	var errs []error
	for _, m := range r.Mounts {
		if m.Name == "" || !m.Anonymous {
			continue
		}
		if err := s.cfg.Volumes.Remove(ctx, m.Name, true); err != nil && !errdefs.IsConflict(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Prune removes the containers that do not run and that the filters until and label select.
func (s *remover) Prune(ctx context.Context, f filter.Args) (*container.PruneReport, error) {
	if err := f.Validate("until", "label", "label!"); err != nil {
		return nil, err
	}
	until, err := f.Until(time.Now())
	if err != nil {
		return nil, err
	}
	report := &container.PruneReport{}
	for _, c := range s.index.all() {
		r := c.Record()
		idle := !r.Up() && r.Status != record.Restarting && r.Status != record.Starting && r.Status != record.Removing
		if !idle || !until.IsZero() && r.Created.After(until) || !f.Labels("label", r.Config.Labels) || f.Has("label!") && f.Labels("label!", r.Config.Labels) {
			continue
		}
		if ctx.Err() != nil {
			return report, nil
		}
		size, _, err := s.cfg.Storage.Usage(ctx, c.id)
		if err == nil {
			err = s.Remove(ctx, c.id, RemoveOptions{})
		}
		if err != nil {
			s.cfg.Log.Warn("container not pruned", "container", c.id, "error", err)
			continue
		}
		report.ContainersDeleted = append(report.ContainersDeleted, c.id)
		report.SpaceReclaimed += uint64(size)
	}
	sort.Strings(report.ContainersDeleted)
	s.cfg.Events.Publish(events.ContainerEventType, events.ActionPrune, events.Actor{
		Attributes: map[string]string{"reclaimed": fmt.Sprint(report.SpaceReclaimed)},
	})
	return report, nil
}
