package logfmt

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// at returns a handler's line for what log does, without the time.
func at(t *testing.T, level slog.Level, log func(*slog.Logger)) string {
	t.Helper()
	var b bytes.Buffer
	log(slog.New(New(&b, "text", level)))
	line := b.String()
	if line == "" {
		return ""
	}
	const stamp = `time="2006-01-02T15:04:05.000000000Z" `
	if !strings.HasPrefix(line, `time="20`) || !strings.HasSuffix(line, "\n") {
		t.Fatalf("%q", line)
	}
	return strings.TrimSuffix(line[len(stamp):], "\n")
}

func TestLines(t *testing.T) {
	for _, c := range []struct {
		want string
		log  func(*slog.Logger)
	}{
		{`level=debug msg="opened" step=storage duration=1.5ms`, func(l *slog.Logger) { l.Debug("opened", "step", "storage", "duration", 1500*time.Microsecond) }},
		{`level=info msg="API listen on /run/x.sock"`, func(l *slog.Logger) { l.Info("API listen on /run/x.sock") }},
		{`level=warning msg="a\nb" error="it \"broke\"" empty=""`, func(l *slog.Logger) { l.Warn("a\nb", "error", errors.New(`it "broke"`), "empty", "") }},
		{`level=error msg="x" n=3 ok=true g.a=1 g.b=2`, func(l *slog.Logger) { l.Error("x", "n", 3, "ok", true, slog.Group("g", "a", 1, "b", 2)) }},
		{`level=info msg="x" id=abc r.s=t`, func(l *slog.Logger) { l.With("id", "abc").WithGroup("r").Info("x", "s", "t") }},
		{`level=fatal msg="x"`, func(l *slog.Logger) { l.Log(t.Context(), Fatal, "x") }},
		{`level=info msg="x" k="\x1b[31m"`, func(l *slog.Logger) { l.Info("x", "k", "\x1b[31m") }},
	} {
		if got := at(t, slog.LevelDebug, c.log); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestLevels(t *testing.T) {
	for name, want := range map[string]string{"debug": "dIWE", "info": "IWE", "warn": "WE", "error": "E", "fatal": ""} {
		var b bytes.Buffer
		l := slog.New(New(&b, "text", ParseLevel(name)))
		l.Debug("d")
		l.Info("I")
		l.Warn("W")
		l.Error("E")
		got := ""
		for line := range strings.Lines(b.String()) {
			got += string(line[strings.Index(line, `msg="`)+5])
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	slog.New(New(&b, "json", slog.LevelInfo)).Warn("x", "duration", time.Second, "error", errors.New("e"))
	var got map[string]string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["level"] != "warning" || got["msg"] != "x" || got["duration"] != "1s" || got["error"] != "e" || !strings.HasSuffix(got["time"], "Z") {
		t.Errorf("%v", got)
	}
}

func TestLevelChangesWhileRunning(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(New(&b, "text", slog.LevelInfo))
	derived := l.With("k", "v")
	derived.Debug("before")
	if !SetLevel(l, slog.LevelDebug) {
		t.Fatal("the level cannot be set")
	}
	derived.Debug("after")
	if strings.Contains(b.String(), "before") || !strings.Contains(b.String(), "after") {
		t.Error(b.String())
	}
}

// oneWrite fails on a write that is not a whole line.
type oneWrite struct{ t *testing.T }

func (w oneWrite) Write(p []byte) (int, error) {
	if bytes.Count(p, []byte("\n")) != 1 || p[len(p)-1] != '\n' {
		w.t.Errorf("%q", p)
	}
	return len(p), nil
}

func TestLinesDoNotMix(t *testing.T) {
	l := slog.New(New(oneWrite{t}, "text", slog.LevelInfo))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				l.Info("line\nwith break", "k", "v")
			}
		})
	}
	wg.Wait()
}
