package restart

import (
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

func policy(name container.RestartPolicyMode, limit int) container.RestartPolicy {
	return container.RestartPolicy{Name: name, MaximumRetryCount: limit}
}

func TestNextFollowsThePolicy(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy container.RestartPolicy
		code   int
		state  State
		want   bool
	}{
		{"no policy", policy("", 0), 1, State{}, false},
		{"no", policy("no", 0), 1, State{}, false},
		{"always after success", policy("always", 0), 0, State{}, true},
		{"always after failure", policy("always", 0), 3, State{Count: 1000}, true},
		{"always after the user's stop", policy("always", 0), 137, State{Stopped: true}, false},
		{"always while the daemon ends", policy("always", 0), 143, State{Shutdown: true}, false},
		{"unless-stopped", policy("unless-stopped", 0), 0, State{}, true},
		{"unless-stopped after the user's stop", policy("unless-stopped", 0), 0, State{Stopped: true}, false},
		{"on-failure after success", policy("on-failure", 0), 0, State{}, false},
		{"on-failure without a limit", policy("on-failure", 0), 1, State{Count: 1000}, true},
		{"on-failure below its limit", policy("on-failure", 3), 1, State{Count: 2}, true},
		{"on-failure at its limit", policy("on-failure", 3), 1, State{Count: 3}, false},
		{"on-failure after the user's stop", policy("on-failure", 3), 137, State{Stopped: true}, false},
	} {
		d := Next(c.policy, Exit{Code: c.code}, c.state)
		if d.Restart != c.want {
			t.Errorf("%s: restart is %v, want %v", c.name, d.Restart, c.want)
		}
		if c.want && d.State.Count != c.state.Count+1 || !c.want && d.State != c.state {
			t.Errorf("%s: state went from %+v to %+v", c.name, c.state, d.State)
		}
	}
}

func TestBackOffDoublesToAMinute(t *testing.T) {
	want := []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000}
	var state State
	for i, ms := range want {
		d := Next(policy("always", 0), Exit{Code: 1, Ran: time.Second}, state)
		if d.Delay != ms*time.Millisecond {
			t.Errorf("restart %d waits %v, want %v", i+1, d.Delay, ms*time.Millisecond)
		}
		state = d.State
	}
}

func TestRunOfTenSecondsResetsBackOff(t *testing.T) {
	state := State{Count: 7, Delay: time.Minute}
	if d := Next(policy("always", 0), Exit{Ran: 10 * time.Second}, state); d.Delay != 100*time.Millisecond || d.State.Count != 8 {
		t.Errorf("after ten seconds: %+v", d)
	}
	if d := Next(policy("always", 0), Exit{Ran: 10*time.Second - 1}, state); d.Delay != time.Minute {
		t.Errorf("after less: %+v", d)
	}
}

func TestOnDaemonStart(t *testing.T) {
	stopped := State{Stopped: true}
	for _, c := range []struct {
		name   string
		policy container.RestartPolicy
		code   int
		before bool
		state  State
		want   bool
	}{
		{"always, although stopped", policy("always", 0), 0, true, stopped, true},
		{"always, but it never ran", policy("always", 0), 0, false, State{}, false},
		{"unless-stopped", policy("unless-stopped", 0), 0, true, State{}, true},
		{"unless-stopped, and stopped", policy("unless-stopped", 0), 0, true, stopped, false},
		{"on-failure after success", policy("on-failure", 0), 0, true, State{}, false},
		{"on-failure after failure", policy("on-failure", 0), 1, true, State{}, true},
		{"no", policy("no", 0), 1, true, State{}, false},
	} {
		if got := OnDaemonStart(c.policy, c.code, c.before, c.state); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
