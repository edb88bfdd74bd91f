package api

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gantry/logdriver"

	"github.com/moby/moby/api/pkg/stdcopy"
)

func sequence(all []*logdriver.Message, last error) iter.Seq2[*logdriver.Message, error] {
	return func(yield func(*logdriver.Message, error) bool) {
		for _, m := range all {
			if !yield(m, nil) {
				return
			}
		}
		if last != nil {
			yield(nil, last)
		}
	}
}

var logTime = time.Date(2024, 2, 3, 4, 5, 6, 7000, time.FixedZone("", 3600))

func messagesOf(texts ...string) (all []*logdriver.Message) {
	for _, text := range texts {
		m := &logdriver.Message{Source: "stdout", Time: logTime, Attrs: []logdriver.Attr{{Key: "a", Value: "b c"}, {Key: "k", Value: "x,y"}}}
		if text, ok := strings.CutPrefix(text, "err:"); ok {
			m.Source, m.Line = "stderr", []byte(text)
		} else {
			m.Line = []byte(text)
		}
		m.Line, m.Partial = bytes.CutSuffix(m.Line, []byte("+"))
		all = append(all, m)
	}
	return all
}

func TestLogLines(t *testing.T) {
	const stamp = "2024-02-03T03:05:06.000007000Z "
	for _, tc := range []struct {
		what     string
		w        logWriter
		in       []string
		out, err string
	}{
		{"frames", logWriter{frames: true}, []string{"one", "err:two", ""}, "one\n\n", "two\n"},
		{"stamps", logWriter{frames: true, stamps: true}, []string{"one", "err:two"}, stamp + "one\n", stamp + "two\n"},
		{"details", logWriter{frames: true, stamps: true, details: true}, []string{"one"}, stamp + "a=b+c,k=x%2Cy one\n", ""},
		{"a long line is stamped once", logWriter{frames: true, stamps: true}, []string{"lo+", "err:e", "ng+", "er", "next"}, stamp + "longer\n" + stamp + "next\n", stamp + "e\n"},
	} {
		var b, out, errs bytes.Buffer
		tc.w.to = &b
		if err := tc.w.all(sequence(messagesOf(tc.in...), nil), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := stdcopy.StdCopy(&out, &errs, &b); err != nil {
			t.Fatal(err)
		}
		if out.String() != tc.out || errs.String() != tc.err {
			t.Errorf("%s: %q %q", tc.what, out.String(), errs.String())
		}
	}
	var raw bytes.Buffer
	w := logWriter{to: &raw}
	w.all(sequence(messagesOf("a", "b+", "c"), nil), nil)
	if raw.String() != "a\nbc\n" {
		t.Errorf("of a terminal: %q", raw.String())
	}
}

func TestBrokenLogIsToldInItsStream(t *testing.T) {
	var b bytes.Buffer
	w := logWriter{to: &b, frames: true}
	if err := w.broken(w.all(sequence(messagesOf("a"), errors.New("bad block")), nil)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, err := stdcopy.StdCopy(&out, io.Discard, &b)
	if out.String() != "a\n" || err == nil || !strings.Contains(err.Error(), "bad block") {
		t.Errorf("%q %v", out.String(), err)
	}
}

// A follower sees each message at once, and many of them in few writes.
func TestFollowingLogIsFlushed(t *testing.T) {
	next, seen := make(chan string), make(chan bool)
	s := open(t, Config{}, route{"GET", "/logs", 0, func(w *response, _ *request) error {
		batch := newBatcher(w)
		defer batch.close()
		out := logWriter{to: batch, frames: true}
		return out.all(func(yield func(*logdriver.Message, error) bool) {
			for text := range next {
				if !yield(messagesOf(text)[0], nil) {
					return
				}
			}
		}, batch.failed)
	}})
	c := dialUnix(t, listen(t, s))
	io.WriteString(c, "GET /logs HTTP/1.1\r\nHost: d\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		next <- fmt.Sprint(i)
		head := make([]byte, 8)
		if _, err := io.ReadFull(resp.Body, head); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, binary.BigEndian.Uint32(head[4:]))
		if _, err := io.ReadFull(resp.Body, line); err != nil || string(line) != fmt.Sprintln(i) {
			t.Fatalf("%q %v", line, err)
		}
	}
	go func() {
		for i := range 10000 {
			next <- fmt.Sprint(i)
		}
		close(next)
		close(seen)
	}()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	<-seen
	if n := strings.Count(out.String(), "\n"); n != 10000 {
		t.Errorf("%d lines", n)
	}
}

// A follower that leaves, or never reads, does not keep the log reader for ever.
func TestFollowerThatLeavesEndsTheReader(t *testing.T) {
	ended := make(chan struct{})
	s := open(t, Config{}, route{"GET", "/logs", 0, func(w *response, _ *request) error {
		defer close(ended)
		batch := newBatcher(w)
		defer batch.close()
		out := logWriter{to: batch}
		return out.all(func(yield func(*logdriver.Message, error) bool) {
			for yield(messagesOf(strings.Repeat("x", 1000))[0], nil) {
			}
		}, batch.failed)
	}})
	c := dialUnix(t, listen(t, s))
	io.WriteString(c, "GET /logs HTTP/1.1\r\nHost: d\r\n\r\n")
	io.ReadFull(c, make([]byte, 1000))
	c.Close()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the reader goes on")
	}
}

func TestInstants(t *testing.T) {
	now := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "0": time.Unix(0, 0),
		"1700000000":                time.Unix(1700000000, 0),
		"1700000000.5":              time.Unix(1700000000, 500000000),
		"1700000000.000000001":      time.Unix(1700000000, 1),
		"1700000000.0000000019":     time.Unix(1700000000, 1),
		"2024-02-03T04:05:06.7Z":    time.Date(2024, 2, 3, 4, 5, 6, 700000000, time.UTC),
		"2024-02-03T04:05:06+01:00": time.Date(2024, 2, 3, 3, 5, 6, 0, time.UTC),
		"2024-02-03":                time.Date(2024, 2, 3, 0, 0, 0, 0, time.UTC),
		"10m":                       now.Add(-10 * time.Minute),
		"-1.5":                      time.Unix(-1, -500000000),
	} {
		if got, err := instant("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"x", "1.x", "1.-5", "--1", "2024-13-01"} {
		if got, err := instant("since", text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzInstant(f *testing.F) {
	f.Add("1700000000.000000001")
	f.Add("2024-02-03T04:05:06Z")
	f.Fuzz(func(t *testing.T, text string) { instant("since", text, time.Unix(0, 0)) })
}

func FuzzQuery(f *testing.F) {
	f.Add("stdout=1&tail=5&filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D&h=3&platform=linux/arm64")
	s := open(f, Config{})
	f.Fuzz(func(t *testing.T, query string) {
		r := &request{Request: httptest.NewRequest("POST", "/x", nil), server: s, version: Newest}
		r.URL.RawQuery = query
		if r.prepare(nil) != nil {
			return
		}
		for key := range r.query {
			r.flag(key)
			r.number(key)
		}
		r.filters()
		terminalSize(r)
		waitCondition(r)
		eventQuery(r)
		detachKeys(r)
		platformsSince(r, "platform", 48)
		parsePlatform(r.param("platform"))
	})
}

// BenchmarkLogs is `docker logs` of many short lines.
func BenchmarkLogs(b *testing.B) {
	all := messagesOf(strings.Split(strings.Repeat("a line of a log as they are; ", 1000), ";")...)
	var size int64
	for _, m := range all {
		size += int64(len(m.Line)) + 1
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		out := logWriter{to: io.Discard, frames: true}
		out.all(sequence(all, nil), nil)
	}
}
