package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gantry/events"

	"github.com/moby/moby/api/types"
	eventtypes "github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

func openJournal(t *testing.T) *events.Journal {
	t.Helper()
	j, err := events.Open(t.Context(), events.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close(context.Background()) })
	return j
}

// get sends a request on a connection of its own and returns the answer, whose body may never end.
func get(t *testing.T, path, target string, header ...string) *http.Response {
	t.Helper()
	c := dialUnix(t, path)
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: d\r\n", target)
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(c, "%s: %s\r\n", header[i], header[i+1])
	}
	io.WriteString(c, "\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestEventsAreStreamed(t *testing.T) {
	j := openJournal(t)
	path := listen(t, open(t, Config{Events: j}))
	const all = types.MediaTypeJSONLines + ", " + types.MediaTypeNDJSON + ";q=0.9, " + types.MediaTypeJSONSequence + ";q=0.5"
	for _, tc := range []struct {
		version, accept, media, begin string
	}{
		{"", all, types.MediaTypeJSONLines, `{"Type":"container"`},
		{"/v1.53", types.MediaTypeJSONSequence, types.MediaTypeJSONSequence, "\x1e" + `{"Type":"container"`},
		{"/v1.52", all, types.MediaTypeNDJSON, `{"Type":"container"`},
		{"/v1.52", "", types.MediaTypeJSON, `{"Type":"container"`},
		{"/v1.51", all, types.MediaTypeJSON, `{"status":"start","id":"c1","from":"busybox","Type":"container"`},
		{"/v1.45", "", types.MediaTypeJSON, `{"status":"start","id":"c1","from":"busybox","Type":"container"`},
	} {
		resp := get(t, path, tc.version+`/events?filters={"type":["container","image"]}`, "Accept", tc.accept)
		if media := resp.Header.Get("Content-Type"); media != tc.media {
			t.Errorf("%+v: %s", tc, media)
		}
		// The header has arrived, so nothing that is published now is missed.
		j.Publish(eventtypes.VolumeEventType, eventtypes.ActionCreate, eventtypes.Actor{ID: "v"})
		if tc.version == "/v1.45" {
			j.Publish(eventtypes.ImageEventType, eventtypes.ActionCreate, eventtypes.Actor{ID: "i"}) // not known to it
		}
		j.Publish(eventtypes.ContainerEventType, eventtypes.ActionStart, eventtypes.Actor{ID: "c1", Attributes: map[string]string{"image": "busybox"}})
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, tc.begin) {
			t.Errorf("%+v: %q %v", tc, line, err)
		}
	}
}

func TestEventsOfThePastEnd(t *testing.T) {
	j := openJournal(t)
	j.Publish(eventtypes.ContainerEventType, eventtypes.ActionDie, eventtypes.Actor{ID: "c"})
	s := open(t, Config{Events: j})
	until := time.Now().Add(time.Nanosecond)
	w := ask(s, "GET", fmt.Sprintf("/events?since=0&until=%d.%09d", until.Unix(), until.Nanosecond()), "")
	var e eventtypes.Message
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Actor.ID != "c" || e.Scope != "local" {
		t.Errorf("%d %q %v", w.Code, w.Body, err)
	}
}

func TestCloseEndsEventStreams(t *testing.T) {
	j := openJournal(t)
	s := open(t, Config{Events: j})
	resp := get(t, listen(t, s), "/events")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
	if n := j.Subscribers(); n != 0 {
		t.Errorf("%d subscribers", n)
	}
}

func TestTheClientReadsEvents(t *testing.T) {
	j := openJournal(t)
	path := listen(t, open(t, Config{Events: j}))
	for _, version := range []string{"1.40", "1.52", "1.56"} {
		c, err := client.New(client.WithHost("unix://"+path), client.WithAPIVersion(version))
		if err != nil {
			t.Fatal(err)
		}
		got := c.Events(t.Context(), client.EventsListOptions{})
		j.Publish(eventtypes.ContainerEventType, eventtypes.ActionStart, eventtypes.Actor{ID: "c"})
		select {
		case e := <-got.Messages:
			if e.Actor.ID != "c" || e.Action != eventtypes.ActionStart {
				t.Errorf("%s: %+v", version, e)
			}
		case err := <-got.Err:
			t.Errorf("%s: %v", version, err)
		}
		c.Close()
	}
}
