package health

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
)

// Monitor probes one container until it is stopped.
type Monitor struct {
	cfg    Config
	probe  Probe
	report func(h *container.Health, changed bool)

	mu      sync.Mutex // guards paused, stopped and changed
	paused  bool
	stopped bool
	changed chan struct{} // closed when paused or stopped changes

	done chan struct{} // closed when the last probe is over
}

// Start begins to probe. Initial is Starting(...), or what is on record of a container that was running before
// the daemon. Report is called after every probe with a value that is never changed again; changed tells that the
// status is another one, which is an event. It is called from one goroutine, and not after Stop.
func Start(cfg Config, probe Probe, initial *container.Health, report func(h *container.Health, changed bool)) *Monitor {
	m := &Monitor{cfg: cfg, probe: probe, report: report, changed: make(chan struct{}), done: make(chan struct{})}
	if initial == nil {
		initial = Starting(nil)
	}
	go m.run(initial)
	return m
}

// Stop ends a probe that is under way and waits for it. It must not be called from report, nor with a lock held
// that report takes.
func (m *Monitor) Stop() {
	m.set(func() { m.stopped = true })
	<-m.done
}

// Pause gives up a probe that is under way, without a result, and starts none until Resume. It does not wait.
func (m *Monitor) Pause() { m.set(func() { m.paused = true }) }

// Resume probes again, an interval from now.
func (m *Monitor) Resume() { m.set(func() { m.paused = false }) }

func (m *Monitor) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Monitor) state() (paused, stopped bool, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused, m.stopped, m.changed
}

func (m *Monitor) run(h *container.Health) {
	defer close(m.done)
	wait := m.cfg.wait(h, time.Now())
	for {
		paused, stopped, changed := m.state()
		switch {
		case stopped:
			return
		case paused:
			<-changed
			wait = m.cfg.Interval
			continue
		}
		if interrupted(wait, changed) {
			continue
		}
		result := m.once(changed)
		if result == nil {
			continue
		}
		next := m.cfg.after(h, result)
		m.report(next, next.Status != h.Status)
		h = next
		wait = m.cfg.wait(h, time.Now())
	}
}

// interrupted waits, and reports true if something changed before the time was over.
func interrupted(wait time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-changed:
		return true
	case <-timer.C:
		return false
	}
}

// once runs one probe; nil if it was given up.
func (m *Monitor) once(changed <-chan struct{}) *container.HealthcheckResult {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result := &container.HealthcheckResult{Start: time.Now()}
	var output []byte
	var err error
	over := make(chan struct{})
	go func() {
		defer close(over)
		result.ExitCode, output, err = m.probe(ctx)
	}()
	timer := time.NewTimer(m.cfg.Timeout)
	defer timer.Stop()
	select {
	case <-over:
		result.Output = text(output)
		if err != nil {
			result.ExitCode, result.Output = failed, err.Error()
		}
	case <-timer.C:
		cancel()
		<-over
		result.ExitCode, result.Output = failed, fmt.Sprintf("Health check exceeded timeout (%v)", m.cfg.Timeout)
		if len(output) > 0 {
			result.Output += ": " + text(output)
		}
	case <-changed:
		cancel()
		<-over
		return nil
	}
	result.End = time.Now()
	return result
}
