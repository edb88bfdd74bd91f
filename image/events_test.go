package image

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"gantry/events"
	"gantry/internal/testkit/imagetar"
	"gantry/storage"
)

func TestEvents(t *testing.T) {
	t.Setenv("DOCKER_DRIVER", "")
	st, err := storage.Open(t.Context(), storage.Config{Root: t.TempDir()})
	must(t, err)
	defer st.Close(t.Context()) //nolint:errcheck // the other tests look
	j, err := events.Open(t.Context(), events.Config{})
	must(t, err)
	s, err := Open(t.Context(), Config{Storage: st, Events: j})
	must(t, err)
	began := time.Now().Add(-time.Minute)
	load(t, s, build(t, small("1", "a:1")))
	id := resolve(t, s, "a:1").ID
	must(t, s.Tag(t.Context(), "a:1", "b", "2"))
	save(t, s, "b:2")
	_, err = s.Import(t.Context(), bytes.NewReader(must1(imagetar.Layer(imagetar.Rootfs{"x": {}}))), ImportOptions{Repo: "c"})
	must(t, err)
	_, err = s.Remove(t.Context(), id, RemoveOptions{Force: true})
	must(t, err)
	_, _, err = s.Prune(t.Context(), nil)
	must(t, err)
	seq, err := j.Subscribe(t.Context(), events.Query{Since: began, Until: time.Now()})
	must(t, err)
	var got []string
	for m, err := range seq {
		must(t, err)
		got = append(got, fmt.Sprintf("%s %s", m.Action, strings.ReplaceAll(m.Actor.Attributes["name"], id, "ID")))
	}
	want := "load a:1, tag b:2, save b:2, import c:latest, untag a:1, untag b:2, delete ID, prune "
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}
