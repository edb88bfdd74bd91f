// Package logfmt writes the daemon's log the way that dockerd's readers search it: lines of KEY=VALUE pairs that begin with
// time, level and msg, or the same as JSON.
//
//	time="2026-01-02T15:04:05.000000000Z" level=info msg="API listen on /run/gantry/gantry.sock"
package logfmt

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fatal is above all other levels: the daemon cannot go on.
const Fatal = slog.LevelError + 4

// timeLayout has a fixed width, so that lines can be compared.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// ParseLevel is the level of one of dockerd's names; info for others.
func ParseLevel(name string) slog.Level {
	switch strings.ToLower(name) {
	case "debug", "trace":
		return slog.LevelDebug
	case "warn", "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	case "fatal", "panic":
		return Fatal
	}
	return slog.LevelInfo
}

// levelName is the inverse, with dockerd's word for warnings.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warning"
	case l < Fatal:
		return "error"
	}
	return "fatal"
}

// New returns a handler that writes records of at least level to w, each with one Write. format is "text" or "json".
// SetLevel changes the level.
func New(w io.Writer, format string, level slog.Level) slog.Handler {
	l := &slog.LevelVar{}
	l.Set(level)
	if format == "json" {
		return &leveled{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l, ReplaceAttr: replace}), l}
	}
	return &leveled{&handler{out: &output{w: w}, level: l}, l}
}

// leveled is a handler whose level can be changed.
type leveled struct {
	slog.Handler
	level *slog.LevelVar
}

// SetLevel changes the level of a logger whose handler comes from New, and of all that were derived from it. It reports
// whether that was possible.
func SetLevel(l *slog.Logger, level slog.Level) bool {
	h, ok := l.Handler().(*leveled)
	if ok {
		h.level.Set(level)
	}
	return ok
}

// replace gives JSON records the same time and level as lines, and durations and errors as text.
func replace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 {
		switch a.Key {
		case slog.TimeKey:
			return slog.String(a.Key, a.Value.Time().UTC().Format(timeLayout))
		case slog.LevelKey:
			if l, ok := a.Value.Any().(slog.Level); ok {
				return slog.String(a.Key, levelName(l))
			}
		}
	}
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}

// output is shared by all handlers that come from one.
type output struct {
	mu sync.Mutex // held during a write, so that lines do not mix
	w  io.Writer
}

// handler writes lines. It is immutable.
type handler struct {
	out    *output
	level  slog.Leveler
	prefix string // groups, each with a dot
	attrs  string // of WithAttrs, as they are written
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	return &c
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var b []byte
	for _, a := range attrs {
		b = appendAttr(b, h.prefix, a)
	}
	c.attrs += string(b)
	return &c
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	b := make([]byte, 0, 256)
	if !r.Time.IsZero() {
		b = append(b, `time="`...)
		b = r.Time.UTC().AppendFormat(b, timeLayout)
		b = append(b, `" `...)
	}
	b = append(b, "level="+levelName(r.Level)+" msg="...)
	b = strconv.AppendQuote(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.prefix, a)
		return true
	})
	b = append(b, '\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b)
	return err
}

// appendAttr writes " KEY=VALUE"; a group's attributes one by one.
func appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			b = appendAttr(b, prefix, member)
		}
		return b
	}
	if a.Key == "" {
		return b
	}
	b = append(b, ' ')
	b = appendText(b, prefix+a.Key)
	b = append(b, '=')
	if v.Kind() == slog.KindTime {
		return appendText(b, v.Time().Format(time.RFC3339Nano))
	}
	return appendText(b, v.String())
}

// appendText quotes what could not be told from the next pair.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if !bare(s[i]) {
			return strconv.AppendQuote(b, s)
		}
	}
	if s == "" {
		return append(b, `""`...)
	}
	return append(b, s...)
}

// bare characters need no quotes: the same ones as in dockerd's log.
func bare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._/@^+", c) >= 0
}
