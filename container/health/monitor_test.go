package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"
)

// subject is a container under test: its probes take no time unless told, and all is on a fake clock.
type subject struct {
	mu      sync.Mutex // the test has it, but while time passes
	start   time.Time
	probes  []time.Duration // when, since start
	code    int
	output  string
	err     error
	hang    bool // until killed
	reports []*container.Health
	changes []string // "12s healthy"
}

func (s *subject) probe(ctx context.Context) (int, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes = append(s.probes, time.Since(s.start))
	if s.hang {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return 137, []byte(s.output), nil
	}
	return s.code, []byte(s.output), s.err
}

func (s *subject) report(h *container.Health, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, h)
	if changed {
		s.changes = append(s.changes, fmt.Sprint(time.Since(s.start), " ", h.Status))
	}
}

// inBubble runs a test with a monitor on the fake clock.
func inBubble(t *testing.T, hc container.HealthConfig, initial *container.Health, test func(s *subject, m *Monitor)) {
	synctest.Test(t, func(t *testing.T) {
		s := &subject{start: time.Now()}
		m := Start(Configure(&hc, s.start), s.probe, initial, s.report)
		defer m.Stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		test(s, m)
	})
}

func (s *subject) pass(d time.Duration) {
	s.mu.Unlock()
	defer s.mu.Lock()
	time.Sleep(d) // of the fake clock
	synctest.Wait()
}

func TestFirstSuccessMakesHealthy(t *testing.T) {
	inBubble(t, container.HealthConfig{Interval: 2 * time.Second}, nil, func(s *subject, m *Monitor) {
		s.pass(7 * time.Second)
		if want := []time.Duration{2 * time.Second, 4 * time.Second, 6 * time.Second}; !slices.Equal(s.probes, want) {
			t.Errorf("probes at %v, want %v", s.probes, want)
		}
		if want := []string{"2s healthy"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %v, want %v", s.changes, want)
		}
	})
}

func TestDefaults(t *testing.T) {
	inBubble(t, container.HealthConfig{}, nil, func(s *subject, m *Monitor) {
		s.code = 1
		s.pass(100 * time.Second)
		if want := []string{"1m30s unhealthy"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %v, want %v", s.changes, want)
		}
	})
}

func TestUnhealthyAfterRetriesAndBack(t *testing.T) {
	inBubble(t, container.HealthConfig{Interval: time.Second, Retries: 2}, nil, func(s *subject, m *Monitor) {
		s.pass(1500 * time.Millisecond)
		s.code = 1
		s.pass(3 * time.Second)
		if got := s.reports[len(s.reports)-1].FailingStreak; got != 3 {
			t.Errorf("failing streak %d, want 3", got)
		}
		s.code = 0
		s.pass(time.Second)
		if want := []string{"1s healthy", "3s unhealthy", "5s healthy"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %v, want %v", s.changes, want)
		}
	})
}

func TestStartPeriodForgivesAndProbesFaster(t *testing.T) {
	hc := container.HealthConfig{Interval: 10 * time.Second, StartPeriod: 20 * time.Second, StartInterval: 3 * time.Second, Retries: 1}
	inBubble(t, hc, nil, func(s *subject, m *Monitor) {
		s.code = 1
		s.pass(32 * time.Second)
		// The last fast one is due within the period; the next is an interval later, since the period is over.
		want := []time.Duration{3, 6, 9, 12, 15, 18, 21, 31}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(s.probes, want) {
			t.Errorf("probes at %v, want %v", s.probes, want)
		}
		if want := []string{"21s unhealthy"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %v, want %v", s.changes, want)
		}
		if got := s.reports[0].FailingStreak; got != 0 {
			t.Errorf("a failure within the start period counts: streak %d", got)
		}
	})
}

func TestTimeoutKillsTheProbe(t *testing.T) {
	inBubble(t, container.HealthConfig{Interval: time.Second, Timeout: 3 * time.Second}, nil, func(s *subject, m *Monitor) {
		s.hang, s.output = true, "so far"
		s.pass(4 * time.Second)
		if len(s.reports) != 1 {
			t.Fatalf("%d results, want 1", len(s.reports))
		}
		r := s.reports[0].Log[0]
		if r.ExitCode != -1 || r.Output != "Health check exceeded timeout (3s): so far" || r.End.Sub(r.Start) != 3*time.Second {
			t.Errorf("got %+v", r)
		}
	})
}

func TestProbeThatCannotRunFails(t *testing.T) {
	inBubble(t, container.HealthConfig{Interval: time.Second}, nil, func(s *subject, m *Monitor) {
		s.err = errors.New("no such file")
		s.pass(time.Second)
		if r := s.reports[0].Log[0]; r.ExitCode != -1 || r.Output != "no such file" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestFiveResultsAreKeptAndOutputIsCut(t *testing.T) {
	inBubble(t, container.HealthConfig{Interval: time.Second}, nil, func(s *subject, m *Monitor) {
		for i := range 8 {
			s.output = strings.Repeat("x", 4090+i)
			s.pass(time.Second)
		}
		log := s.reports[7].Log
		if len(log) != 5 {
			t.Fatalf("%d results, want 5", len(log))
		}
		if first := len(log[0].Output); first != 4093 {
			t.Errorf("the oldest result has %d bytes, want 4093", first)
		}
		if last := log[4].Output; last != strings.Repeat("x", 4096)+"..." {
			t.Errorf("the newest result has %d bytes, want 4096 and an ellipsis", len(last))
		}
		if len(s.reports[4].Log) != 5 || s.reports[4].Log[0] != s.reports[0].Log[0] {
			t.Error("a reported value was changed afterwards")
		}
	})
}

func TestNoProbeWhilePaused(t *testing.T) {
	inBubble(t, container.HealthConfig{Interval: 2 * time.Second}, nil, func(s *subject, m *Monitor) {
		s.pass(3 * time.Second)
		m.Pause()
		s.pass(time.Minute)
		m.Resume()
		s.pass(3 * time.Second)
		if want := []time.Duration{2 * time.Second, 65 * time.Second}; !slices.Equal(s.probes, want) {
			t.Errorf("probes at %v, want %v", s.probes, want)
		}
	})
}

func TestPauseGivesUpTheProbeUnderWay(t *testing.T) {
	inBubble(t, container.HealthConfig{Interval: time.Second}, nil, func(s *subject, m *Monitor) {
		s.hang = true
		s.pass(2 * time.Second)
		m.Pause()
		s.pass(time.Minute)
		if len(s.reports) != 0 {
			t.Errorf("it has a result: %+v", s.reports[0].Log[0])
		}
	})
}

func TestStopWaitsForTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		m := Start(Configure(&container.HealthConfig{Interval: time.Second}, time.Now()), func(ctx context.Context) (int, []byte, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // killing takes a moment
			ended = true
			return 0, nil, nil
		}, nil, func(*container.Health, bool) { t.Error("a probe that was given up has a result") })
		time.Sleep(2 * time.Second)
		m.Stop()
		if !ended {
			t.Error("the probe still runs")
		}
		m.Stop() // again
	})
}

func TestMonitorGoesOnAfterDaemonRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		known := &container.Health{Status: container.Healthy, Log: []*container.HealthcheckResult{{End: now.Add(-7 * time.Second)}}}
		s := &subject{start: now, code: 1}
		cfg := Configure(&container.HealthConfig{Interval: 10 * time.Second, Retries: 1}, now.Add(-time.Hour))
		m := Start(cfg, s.probe, known, s.report)
		defer m.Stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pass(5 * time.Second)
		if want := []string{"3s unhealthy"}; !slices.Equal(s.changes, want) {
			t.Errorf("changes %v, want %v", s.changes, want)
		}
	})
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		test, shell, want []string
	}{
		{nil, nil, nil},
		{[]string{"NONE"}, nil, nil},
		{[]string{"CMD", "curl", "-f", "x"}, nil, []string{"curl", "-f", "x"}},
		{[]string{"CMD-SHELL", "a | b"}, nil, []string{"/bin/sh", "-c", "a | b"}},
		{[]string{"CMD-SHELL", "a | b"}, []string{"/bin/bash", "-ec"}, []string{"/bin/bash", "-ec", "a | b"}},
		{[]string{"HTTP", "x"}, nil, nil},
	} {
		got := Command(&container.HealthConfig{Test: c.test}, c.shell)
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.test, got, c.want)
		}
	}
	if Command(nil, nil) != nil {
		t.Error("a container without a health check has a command")
	}
}

func TestStartingAndEnded(t *testing.T) {
	log := []*container.HealthcheckResult{{ExitCode: 1}}
	h := Starting(&container.Health{Status: container.Unhealthy, FailingStreak: 4, Log: log})
	if h.Status != container.Starting || h.FailingStreak != 0 || len(h.Log) != 1 {
		t.Errorf("starting: %+v", h)
	}
	if e := Ended(h); e.Status != container.Unhealthy || h.Status != container.Starting {
		t.Errorf("ended: %+v", e)
	}
	if Ended(nil) != nil {
		t.Error("a container without a health check has a health")
	}
}
