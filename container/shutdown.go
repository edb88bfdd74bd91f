package container

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gantry/container/record"
)

// Shutdown stops every container within the time that the settings give. Their restart policies start them again with the
// next daemon.
func (s *Service) Shutdown(ctx context.Context) error {
	s.closed.Store(true)
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	budget := s.settings.Load().StopAll
	for _, c := range s.index.all() {
		if r := c.Record(); !r.Up() && r.Status != record.Restarting {
			continue
		}
		all.Go(func() {
			wait := shutdownPatience(c.Record(), budget)
			if _, err := s.stop(ctx, c, StopOptions{Seconds: &wait}, false); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("stop container %s: %w", c.id, err))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// shutdownPatience is the container's own stop timeout, at most the daemon's; a negative budget has no end.
func shutdownPatience(r *record.Container, budget time.Duration) int {
	own := int(stopTimeout.Seconds())
	if r.Config.StopTimeout != nil {
		own = *r.Config.StopTimeout
	}
	if limit := int(budget.Seconds()); budget >= 0 && (own < 0 || own > limit) {
		return limit
	}
	return own
}
