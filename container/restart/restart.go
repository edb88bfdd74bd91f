// Package restart decides whether a container that has ended is started again, and when.
//
// It is a pure function of the policy and what is known of the run: who asks keeps the
// state and the clock.
package restart

import (
	"time"

	"github.com/moby/moby/api/types/container"
)

// The back-off is dockerd's.
const (
	firstDelay = 100 * time.Millisecond
	longest    = time.Minute

	// steady is how long a run takes that sets the back-off to its beginning again.
	steady = 10 * time.Second
)

// Exit is how a run ended.
type Exit struct {
	Code int           // 0 is success; a code that is not known counts as failure
	Ran  time.Duration // from the start of the process to its end
}

// State is what is known beside. The zero value is a container that the user has just started.
type State struct {
	Count    int           // restarts in a row, record.Container's RestartCount
	Delay    time.Duration // before the last restart; 0 if there was none
	Stopped  bool          // by the user, with stop or kill
	Shutdown bool          // the daemon ends and takes its containers along
}

// Decision is what to do.
type Decision struct {
	Restart bool
	Delay   time.Duration // to wait before it
	State   State         // of the next run
}

// Next decides after a run has ended. A user's stop wins over every policy.
func Next(policy container.RestartPolicy, exit Exit, state State) Decision {
	if state.Stopped || state.Shutdown || !wanted(policy, exit.Code, state.Count) {
		return Decision{State: state}
	}
	delay := backoff(exit.Ran, state.Delay)
	return Decision{
		Restart: true,
		Delay:   delay,
		State:   State{Count: state.Count + 1, Delay: delay},
	}
}

// OnDaemonStart decides about a container that is found ended when the daemon starts. Code is that of its last
// run. A container that never ran stays as it is, and one that the user has stopped does with every policy
// but always.
func OnDaemonStart(policy container.RestartPolicy, code int, startedBefore bool, state State) bool {
	if !startedBefore || state.Stopped && policy.IsUnlessStopped() {
		return false
	}
	return wanted(policy, code, state.Count)
}

func wanted(policy container.RestartPolicy, code, count int) bool {
	switch {
	case policy.IsAlways(), policy.IsUnlessStopped():
		return true
	case policy.IsOnFailure():
		limit := policy.MaximumRetryCount
		return code != 0 && (limit == 0 || count < limit)
	default:
		return false
	}
}

func backoff(ran, last time.Duration) time.Duration {
	if ran >= steady || last == 0 {
		return firstDelay
	}
	return min(2*last, longest)
}
