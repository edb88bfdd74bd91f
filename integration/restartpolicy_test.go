package integration

import (
	"slices"
	"testing"
	"time"

	"gantry/internal/testkit"

	"github.com/moby/moby/client"
)

func TestRestartOnFailure(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("fail")
	r := d.Client().Events(d.Context(), client.EventsListOptions{Filters: client.Filters{}.Add("container", name)})
	d.Docker("run", "-d", "--name", name, "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 3")
	dead := 0
	for dead < 3 {
		for _, m := range collect(d, r, "die") {
			if m.Action == "die" {
				dead++
			}
		}
	}
	d.Eventually("no further restart", func() bool { return status(d, name) == "exited" })
	c := inspect(d, name)
	equal(t, "restarts", c.RestartCount, 2)
	equal(t, "exit code", c.State.ExitCode, 3)
	ok := d.Name("ok")
	d.Docker("run", "--name", ok, "--restart", "on-failure", "busybox", "true")
	equal(t, "restarts of one that succeeds", inspect(d, ok).RestartCount, 0)
	equal(t, "status of one that succeeds", status(d, ok), "exited")
}

func TestRestartAlwaysBacksOff(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("always")
	d.Docker("run", "-d", "--name", name, "--restart", "always", "busybox", "sh", "-c", "date +%s%N >>/runs; exit 0")
	d.Eventually("four restarts", func() bool { return inspect(d, name).RestartCount >= 4 })
	d.Eventually("the status between two runs", func() bool { return status(d, name) == "restarting" })
	state := inspect(d, name).State
	equal(t, "restarting", state.Restarting, true)
	equal(t, "running", state.Running, true) // dockerd says both
	d.Docker("stop", name)
	equal(t, "status", status(d, name), "exited")
	began := inspect(d, name).RestartCount
	started, err := time.Parse(time.RFC3339Nano, inspect(d, name).State.StartedAt)
	if err != nil {
		t.Fatal(err)
	}
	d.Docker("start", name)
	equal(t, "restarts begin again", inspect(d, name).RestartCount < began, true)
	if again, err := time.Parse(time.RFC3339Nano, inspect(d, name).State.StartedAt); err != nil || !again.After(started) {
		t.Errorf("started at %v and %v, %v", started, again, err)
	}
}

func TestStoppedContainersAreNotRestarted(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, end := range [][]string{{"stop"}, {"kill"}} {
		name := up(d, "--restart", "always")
		d.Docker(slices.Concat(end, []string{name})...)
		if end[0] == "kill" {
			wait(d, name)
		}
		equal(t, "status after "+end[0], status(d, name), "exited")
		equal(t, "restarts after "+end[0], inspect(d, name).RestartCount, 0)
	}
}

func TestUpdateOfTheRestartPolicyEndsRestarts(t *testing.T) {
	t.Parallel()
	d := engine(t)
	gantryOnly(t, d, "update between two runs: it asks the runtime, and fails then")
	name := d.Name("policy")
	d.Docker("run", "-d", "--name", name, "--restart", "always", "busybox", "false")
	d.Eventually("a restart", func() bool { return inspect(d, name).RestartCount >= 1 })
	d.Docker("update", "--restart", "no", name)
	d.Eventually("the end of restarts", func() bool { return status(d, name) == "exited" })
}

func TestRestartPoliciesAcrossRestartsOfTheDaemon(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	always, unless, stoppedUnless, stoppedAlways, no := d.Name("always"), d.Name("unless"), d.Name("stoppedunless"), d.Name("stoppedalways"), d.Name("no")
	for name, policy := range map[string]string{
		always: "always", unless: "unless-stopped", stoppedUnless: "unless-stopped", stoppedAlways: "always", no: "no",
	} {
		d.Docker("run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
	}
	d.Docker("stop", stoppedUnless)
	d.Docker("stop", stoppedAlways)
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{always: "running", unless: "running", stoppedUnless: "exited", stoppedAlways: "running", no: "exited"} {
		d.Eventually(name+" is "+want, func() bool { return status(d, name) == want })
	}
}
