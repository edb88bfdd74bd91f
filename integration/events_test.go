package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry/internal/testkit"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// collect reads events until one has the last action.
func collect(d *testkit.Session, r client.EventsResult, last string) []events.Message {
	d.T.Helper()
	var out []events.Message
	deadline := time.After(testkit.Timeout)
	for {
		select {
		case m := <-r.Messages:
			out = append(out, m)
			if string(m.Action) == last {
				return out
			}
		case err := <-r.Err:
			d.T.Fatalf("events: %v, after %v", err, actions(out))
		case <-deadline:
			d.T.Fatalf("no %s event, only %v", last, actions(out))
		}
	}
}

func actions(all []events.Message) []string {
	var out []string
	for _, m := range all {
		out = append(out, string(m.Action))
	}
	return out
}

func TestEventsTellTheLifeOfAContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("events")
	r := d.Client().Events(d.Context(), client.EventsListOptions{Filters: client.Filters{}.Add("type", "container").Add("container", name)})
	d.Docker("run", "-d", "--name", name, "-l", "a=b", "busybox", "sh", "-c", "trap 'exit 3' TERM; sleep 1000 & wait")
	d.Docker("exec", name, "true")
	d.Docker("pause", name)
	d.Docker("unpause", name)
	d.Docker("rename", name, name+"2")
	d.Remove(name + "2")
	d.Docker("rename", name+"2", name)
	d.Docker("update", "--cpu-shares", "512", name)
	d.Docker("stop", name)
	d.Docker("rm", name)
	all := collect(d, r, "destroy")
	got := actions(all)
	want := []string{"create", "start", "exec_create: true ", "exec_start: true ", "exec_die", "pause", "unpause", "rename", "rename",
		"update", "kill", "die", "stop", "destroy"}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%v, want\n%v", got, want)
	}
	for _, m := range all {
		if m.Actor.Attributes["image"] != "busybox" || m.Actor.Attributes["a"] != "b" || m.Actor.ID == "" || m.TimeNano == 0 || string(m.Scope) != "local" {
			t.Errorf("event %+v", m)
		}
		switch m.Action {
		case "die":
			equal(t, "exit code", m.Actor.Attributes["exitCode"], "3")
		case "kill":
			equal(t, "signal", m.Actor.Attributes["signal"], "15")
		case "exec_die":
			equal(t, "exit code", m.Actor.Attributes["exitCode"], "0")
			equal(t, "length of the exec's ID", len(m.Actor.Attributes["execID"]), 64)
		}
	}
}

func TestEventsOfOtherObjects(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("events", nil)
	volume := volumeName(d)
	name := d.Name("c")
	began := time.Now().Add(-time.Second)
	d.Docker("tag", image, image+":v2")
	d.Docker("rmi", image+":v2")
	d.Docker("run", "--name", name, "-v", volume+":/data", "busybox", "true")
	d.Docker("rm", name)
	d.Docker("volume", "rm", volume)
	out := func(filters ...string) []string {
		args := []string{"events", "--since", stamp(began), "--until", stamp(time.Now()), "--format", "{{.Type}} {{.Action}} {{.Actor.ID}}"}
		for _, f := range filters {
			args = append(args, "--filter", f)
		}
		return strings.Split(d.Docker(args...), "\n")
	}
	text := strings.Join(out("type=volume", "volume="+volume), ",")
	contains(t, "volume events", text, "volume create "+volume, "volume mount "+volume, "volume unmount "+volume, "volume destroy "+volume)
	text = strings.Join(out("type=image"), ",")
	contains(t, "image events", text, "image tag ", "image untag ")
	text = strings.Join(out("type=network", "network=bridge"), ",")
	contains(t, "network events", text, "network connect ", "network disconnect ")
}

// stamp is how the API takes a time: seconds with a fraction.
func stamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

func TestEventsOfThePast(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("past")
	began := time.Now().Add(-time.Second)
	d.Docker("run", "--name", name, "-l", "k=v", "busybox", "true")
	d.Docker("rm", name)
	ended := time.Now()
	list := func(args ...string) string {
		args = append([]string{"events", "--filter", "container=" + name, "--format", "{{.Action}}"}, args...)
		return strings.ReplaceAll(d.Docker(args...), "\n", " ")
	}
	window := []string{"--since", stamp(began), "--until", stamp(ended)}
	equal(t, "all", list(window...), "create attach start die destroy")
	equal(t, "by event", list(append(window, "--filter", "event=die", "--filter", "event=start")...), "start die")
	equal(t, "by label", list(append(window, "--filter", "label=k=v", "--filter", "event=create")...), "create")
	equal(t, "by another label", list(append(window, "--filter", "label=k=other")...), "")
	equal(t, "by image", list(append(window, "--filter", "image=busybox", "--filter", "event=create")...), "create")
	equal(t, "by type", list(append(window, "--filter", "type=volume")...), "")
	equal(t, "before", list("--since", stamp(began.Add(-time.Hour)), "--until", stamp(began.Add(-time.Minute))), "")
}

func TestBadEventsQueries(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for query, want := range map[string]string{
		"since=x":          "",
		"since=10&until=5": "cannot be after",
		"filters=x":        "invalid",
	} {
		code, body := get(d, "/events?"+query)
		if !d.Reference() { // 500 before Docker 23
			equal(t, "status of "+query, code, 400)
		}
		contains(t, "body of "+query, body, want)
	}
}
