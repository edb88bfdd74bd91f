package events

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

func openJournal(t *testing.T) *Journal {
	t.Helper()
	j, err := Open(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// publish tells of the start of containers with these IDs.
func publish(j *Journal, ids ...string) {
	for _, id := range ids {
		j.Publish(events.ContainerEventType, events.ActionStart, events.Actor{ID: id})
	}
}

func subscribe(t *testing.T, ctx context.Context, j *Journal, q Query) iter.Seq2[events.Message, error] {
	t.Helper()
	seq, err := j.Subscribe(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// ids reads a sequence to its end, or up to n events.
func ids(seq iter.Seq2[events.Message, error], n int) (got []string, err error) {
	for m, err := range seq {
		if err != nil {
			return got, err
		}
		if got = append(got, m.Actor.ID); len(got) == n {
			break
		}
	}
	return got, nil
}

func numbered(from, to int) (ids []string) {
	for i := from; i < to; i++ {
		ids = append(ids, fmt.Sprint(i))
	}
	return ids
}

func TestSubscribersSeeEveryEventInOrder(t *testing.T) {
	j := openJournal(t)
	publish(j, "before")
	a, b := subscribe(t, t.Context(), j, Query{}), subscribe(t, t.Context(), j, Query{})
	want := numbered(0, 1000)
	publish(j, want...)
	for _, seq := range []iter.Seq2[events.Message, error]{a, b} {
		if got, err := ids(seq, 1000); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %d events (%v), want 1000", len(got), err)
		}
	}
	if n := j.Subscribers(); n != 0 {
		t.Errorf("%d subscribers are left", n)
	}
}

func TestMessageIsFilledIn(t *testing.T) {
	j := openJournal(t)
	seq := subscribe(t, t.Context(), j, Query{})
	attributes := map[string]string{"name": "web"}
	before := time.Now()
	j.Publish(events.ContainerEventType, events.ActionDie, events.Actor{ID: "c", Attributes: attributes})
	attributes["name"] = "changed"
	publish(j, "d")
	n := 0
	for m := range seq {
		if n++; n == 2 {
			if m.Actor.Attributes == nil {
				t.Error("attributes are null")
			}
			break
		}
		at := time.Unix(0, m.TimeNano)
		if m.Type != "container" || m.Action != "die" || m.Actor.ID != "c" || m.Scope != "local" || m.Actor.Attributes["name"] != "web" ||
			m.Time != at.Unix() || at.Before(before) || at.After(time.Now()) {
			t.Errorf("got %+v", m)
		}
	}
}

func TestLastEventsAreReplayed(t *testing.T) {
	j := openJournal(t)
	start := time.Now()
	publish(j, numbered(0, 300)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seq := subscribe(t, ctx, j, Query{Since: start})
	publish(j, "new")
	got, err := ids(seq, 257)
	if want := append(numbered(44, 300), "new"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v (%v), want the last 256 and the new one", got, err)
	}
}

func TestUntilInThePastReadsOnlyTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openJournal(t)
		start := time.Now()
		for _, id := range numbered(0, 10) {
			publish(j, id)
			time.Sleep(time.Second)
		}
		for _, c := range []struct {
			name     string
			q        Query
			from, to int
		}{
			{"until", Query{Until: start.Add(3 * time.Second)}, 0, 4},
			{"since and until", Query{Since: start.Add(2 * time.Second), Until: start.Add(5*time.Second - 1)}, 2, 5},
			{"now", Query{Since: start, Until: time.Now()}, 0, 10},
		} {
			got, err := ids(subscribe(t, t.Context(), j, c.q), -1)
			if want := numbered(c.from, c.to); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: got %v (%v), want %v", c.name, got, err, want)
			}
		}
		if n := j.Subscribers(); n != 0 {
			t.Errorf("%d subscribers are left", n)
		}
	})
}

func TestUntilInTheFutureEndsTheSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openJournal(t)
		seq := subscribe(t, t.Context(), j, Query{Until: time.Now().Add(5 * time.Second)})
		go func() {
			for _, id := range numbered(0, 10) {
				publish(j, id)
				time.Sleep(2 * time.Second)
			}
		}()
		got, err := ids(seq, -1)
		if want := numbered(0, 3); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v (%v), want %v", got, err, want)
		}
		time.Sleep(time.Minute) // the publisher's end
	})
}

func TestUntilBeforeSinceIsRefused(t *testing.T) {
	j := openJournal(t)
	_, err := j.Subscribe(t.Context(), Query{Since: time.Unix(2, 0), Until: time.Unix(1, 0)})
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("got %v", err)
	}
}

func TestSlowSubscriberIsEndedAndOthersAreNot(t *testing.T) {
	j := openJournal(t)
	slow := subscribe(t, t.Context(), j, Query{})
	publish(j, numbered(0, maxBehind)...)
	other := subscribe(t, t.Context(), j, Query{})
	publish(j, "one too many")
	got, err := ids(slow, -1)
	if len(got) != maxBehind || !errdefs.IsResourceExhausted(err) {
		t.Errorf("the slow one got %d events and %v", len(got), err)
	}
	if got, err := ids(other, 1); err != nil || !slices.Equal(got, []string{"one too many"}) {
		t.Errorf("the other one got %v and %v", got, err)
	}
}

func TestSubscriptionEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openJournal(t)
		ctx, cancel := context.WithCancel(t.Context())
		read := subscribe(t, ctx, j, Query{})
		subscribe(t, ctx, j, Query{}) // never read
		over := make(chan error)
		go func() {
			_, err := ids(read, -1)
			over <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := j.Subscribers(); n != 0 {
			t.Errorf("%d subscribers are left", n)
		}
	})
}

func TestCloseEndsSubscriptions(t *testing.T) {
	j := openJournal(t)
	seq := subscribe(t, t.Context(), j, Query{})
	publish(j, "last")
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(j, "later")
	if got, err := ids(seq, -1); err != nil || !slices.Equal(got, []string{"last"}) {
		t.Errorf("got %v and %v", got, err)
	}
	if got, err := ids(subscribe(t, t.Context(), j, Query{}), -1); err != nil || len(got) != 0 {
		t.Errorf("after Close: got %v and %v", got, err)
	}
}

func TestFilters(t *testing.T) {
	message := func(typ events.Type, action, id string, attributes ...string) *events.Message {
		m := &events.Message{Type: typ, Action: events.Action(action), Scope: "local", Actor: events.Actor{ID: id, Attributes: map[string]string{}}}
		for _, a := range attributes {
			key, value, _ := strings.Cut(a, "=")
			m.Actor.Attributes[key] = value
		}
		return m
	}
	all := map[string]*events.Message{
		"start":   message("container", "start", "c1f00d", "name=web", "image=reg:5000/nginx:1.2", "tier=front"),
		"exec":    message("container", "exec_create: ls -l", "c1f00d", "name=web"),
		"health":  message("container", "health_status: healthy", "c2", "name=webby"),
		"pull":    message("image", "pull", "reg:5000/nginx:1.2", "name=reg:5000/nginx"),
		"delete":  message("image", "delete", "sha256:abc", "name=sha256:abc"),
		"connect": message("network", "connect", "n1", "name=net", "container=c1f00d"),
		"volume":  message("volume", "create", "data"),
		"reload":  message("daemon", "reload", "d1", "name=host"),
	}
	for _, c := range []struct {
		filters filter.Args
		want    string
	}{
		{nil, "connect delete exec health pull reload start volume"},
		{filter.Args{"type": {"image", "volume"}}, "delete pull volume"},
		{filter.Args{"event": {"start", "pull"}}, "pull start"},
		{filter.Args{"event": {"exec_create"}}, "exec"},
		{filter.Args{"event": {"exec_create: ls -l"}}, "exec"},
		{filter.Args{"event": {"exec_die"}}, ""},
		{filter.Args{"event": {"health_status"}}, "health"},
		{filter.Args{"event": {"health_status: healthy"}}, "health"},
		{filter.Args{"event": {"health_status: unhealthy"}}, ""},
		{filter.Args{"container": {"c1f00d"}}, "exec start"},
		{filter.Args{"container": {"c1"}}, "exec start"},
		{filter.Args{"container": {"web"}}, "exec health start"},
		{filter.Args{"container": {"webby", "c1"}}, "exec health start"},
		{filter.Args{"image": {"reg:5000/nginx"}}, "pull start"},
		{filter.Args{"image": {"reg:5000/nginx:1.2"}}, "pull start"},
		{filter.Args{"image": {"reg:5000/nginx:9"}}, ""},
		{filter.Args{"image": {"sha256:abc"}}, "delete"},
		{filter.Args{"network": {"net"}}, "connect"},
		{filter.Args{"volume": {"data"}}, "volume"},
		{filter.Args{"daemon": {"host"}}, "reload"},
		{filter.Args{"plugin": {"p"}}, ""},
		{filter.Args{"label": {"tier"}}, "start"},
		{filter.Args{"label": {"tier=front"}}, "start"},
		{filter.Args{"label": {"tier=back"}}, ""},
		{filter.Args{"scope": {"local"}, "type": {"volume"}}, "volume"},
		{filter.Args{"scope": {"swarm"}}, ""},
		{filter.Args{"type": {"container"}, "event": {"start"}, "container": {"web"}}, "start"},
	} {
		var got []string
		for name, m := range all {
			if (Query{Filters: c.filters}).matches(m) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: got %v, want %s", c.filters, got, c.want)
		}
	}
}
