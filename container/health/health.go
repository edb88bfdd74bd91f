// Package health watches a container by running its health check again and again.
//
// A probe is one run of the check; a result is what it said. The status goes from
// starting to healthy with the first success, and to unhealthy with a number of failures in a
// row. Failures within the start period, which begins with the container, do not count as long as
// it is starting.
package health

import (
	"context"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
)

// dockerd's defaults.
const (
	defaultInterval      = 30 * time.Second
	defaultTimeout       = 30 * time.Second
	defaultStartInterval = 5 * time.Second
	defaultRetries       = 3
)

const (
	maxResults = 5    // kept of a container
	maxOutput  = 4096 // kept of a result, in bytes

	// failed is the exit code of a probe that could not run or took too long.
	failed = -1
)

// Config says how a container is checked.
type Config struct {
	Interval      time.Duration // between the end of a probe and the next one
	Timeout       time.Duration // of a probe
	StartPeriod   time.Duration // 0 for none
	StartInterval time.Duration // instead of Interval, within the start period
	Retries       int           // failures in a row that make it unhealthy
	StartedAt     time.Time     // the container
}

// Configure fills in the defaults. StartedAt is of the container's run.
func Configure(hc *container.HealthConfig, startedAt time.Time) Config {
	c := Config{
		Interval: defaultInterval, Timeout: defaultTimeout, StartInterval: defaultStartInterval,
		Retries: defaultRetries, StartedAt: startedAt,
	}
	if hc == nil {
		return c
	}
	set(&c.Interval, hc.Interval)
	set(&c.Timeout, hc.Timeout)
	set(&c.StartPeriod, hc.StartPeriod)
	set(&c.StartInterval, hc.StartInterval)
	if hc.Retries > 0 {
		c.Retries = hc.Retries
	}
	return c
}

func set(to *time.Duration, d time.Duration) {
	if d > 0 {
		*to = d
	}
}

// Command returns what a probe executes, and nil for a container that is not checked. Shell is the
// container's own for CMD-SHELL; nil for /bin/sh.
func Command(hc *container.HealthConfig, shell []string) []string {
	if hc == nil || len(hc.Test) == 0 {
		return nil
	}
	args := hc.Test[1:]
	switch hc.Test[0] {
	case "CMD":
		return args
	case "CMD-SHELL":
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(slices.Clone(shell), args...)
	default: // NONE, and what nobody knows
		return nil
	}
}

// Starting is the health of a container that has just been started. The results of its previous run are
// kept, as dockerd does. Previous may be nil.
func Starting(previous *container.Health) *container.Health {
	h := &container.Health{Status: container.Starting}
	if previous != nil {
		h.Log = previous.Log
	}
	return h
}

// Ended is the health of a container that does not run any more: unhealthy, as clients of dockerd
// know it. Nil without a health check.
func Ended(previous *container.Health) *container.Health {
	if previous == nil {
		return nil
	}
	h := *previous
	h.Status = container.Unhealthy
	return &h
}

// Probe runs the check once. Output is what it wrote to stdout and stderr, of which the first 4096
// bytes are kept. When ctx ends, the probe and everything it has started must be killed; it
// returns soon after.
type Probe func(ctx context.Context) (exitCode int, output []byte, err error)

// after returns the health that follows from a result. Neither argument is changed.
func (c Config) after(h *container.Health, result *container.HealthcheckResult) *container.Health {
	next := &container.Health{Status: h.Status, FailingStreak: h.FailingStreak}
	next.Log = append(next.Log, h.Log[max(0, len(h.Log)+1-maxResults):]...)
	next.Log = append(next.Log, result)
	if result.ExitCode == 0 {
		next.Status, next.FailingStreak = container.Healthy, 0
		return next
	}
	if h.Status == container.Starting && result.Start.Sub(c.StartedAt) < c.StartPeriod {
		return next
	}
	next.FailingStreak++
	if next.FailingStreak >= c.Retries {
		next.Status = container.Unhealthy
	}
	return next
}

// wait returns how long to wait at now before the next probe. The time since the last one counts, so that
// a daemon that was started again goes on where it was.
func (c Config) wait(h *container.Health, now time.Time) time.Duration {
	interval := c.Interval
	if h.Status == container.Starting && now.Sub(c.StartedAt) < c.StartPeriod {
		interval = c.StartInterval
	}
	since := c.StartedAt
	if n := len(h.Log); n > 0 && h.Log[n-1].End.After(since) {
		since = h.Log[n-1].End
	}
	return min(interval, max(0, interval-now.Sub(since)))
}

// text is the output as it is kept.
func text(output []byte) string {
	if len(output) > maxOutput {
		return string(output[:maxOutput]) + "..."
	}
	return string(output)
}
