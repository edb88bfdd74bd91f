package stdio

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"gantry/logdriver"
)

// kept is a writer that keeps what it is given.
type kept struct {
	messages []logdriver.Message
	flushes  int
	err      error
}

func (k *kept) Log(m *logdriver.Message) error {
	own := *m
	own.Line = slices.Clone(m.Line)
	k.messages = append(k.messages, own)
	return k.err
}
func (k *kept) Flush() error { k.flushes++; return nil }
func (k *kept) Close() error { return nil }

func TestLinesBecomeMessages(t *testing.T) {
	long := strings.Repeat("x", logdriver.PartSize)
	for name, c := range map[string]struct {
		writes []string
		want   []string // "+" before a part
	}{
		"lines":                   {[]string{"a\nb\n"}, []string{"a", "b"}},
		"empty lines":             {[]string{"\n\na\n"}, []string{"", "", "a"}},
		"a line in pieces":        {[]string{"a", "b", "c\nd", "\n"}, []string{"abc", "d"}},
		"no newline at the end":   {[]string{"a\nb"}, []string{"a", "+b"}},
		"a line of a part":        {[]string{long + "\n"}, []string{long}},
		"a part and one more":     {[]string{long + "y\n"}, []string{"+" + long, "y"}},
		"parts in pieces":         {[]string{long[:100], long[100:] + "y", "z\nnext\n"}, []string{"+" + long, "yz", "next"}},
		"two parts and a line":    {[]string{long + long + "\n", "b\n"}, []string{"+" + long, long, "b"}},
		"parts without an end":    {[]string{long + "y"}, []string{"+" + long, "+y"}},
		"carriage return is kept": {[]string{"a\r\n"}, []string{"a\r"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &kept{}
			l := NewLog(w, slog.New(slog.DiscardHandler)).Lines("stdout")
			for _, p := range c.writes {
				l.Write([]byte(p))
			}
			l.End()
			var got []string
			for _, m := range w.messages {
				line := string(m.Line)
				if m.Partial {
					line = "+" + line
				}
				got = append(got, line)
				if m.Time.IsZero() || m.Source != "stdout" {
					t.Errorf("message %+v", m)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%d messages, want %d: %.100q", len(got), len(c.want), got)
			}
		})
	}
}

func TestPartsOfALineHaveOneID(t *testing.T) {
	w := &kept{}
	l := NewLog(w, slog.New(slog.DiscardHandler)).Lines("stderr")
	l.Write(bytes.Repeat([]byte("x"), 3*logdriver.PartSize-1))
	l.Write([]byte("\nwhole\n"))
	for i, m := range w.messages[:3] {
		if m.PartialID == "" || m.PartialID != w.messages[0].PartialID || m.Ordinal != i+1 || m.Partial != (i < 2) || !m.Time.Equal(w.messages[0].Time) {
			t.Errorf("part %d: %+v", i, m)
		}
	}
	if m := w.messages[3]; m.PartialID != "" || m.Ordinal != 0 {
		t.Errorf("whole line: %+v", m)
	}
}

func TestFailingLogIsReportedOnce(t *testing.T) {
	var said bytes.Buffer
	w := &kept{err: errors.New("disk is full")}
	l := NewLog(w, slog.New(slog.NewTextHandler(&said, nil))).Lines("stdout")
	l.Write([]byte("a\nb\nc\n"))
	if n := strings.Count(said.String(), "disk is full"); n != 1 {
		t.Errorf("reported %d times", n)
	}
	if len(w.messages) != 3 {
		t.Errorf("%d messages were tried", len(w.messages))
	}
}

func TestUnreadLineGoesOnElsewhere(t *testing.T) {
	w := &kept{}
	log := NewLog(w, slog.New(slog.DiscardHandler))
	a, b := log.Lines("stdout"), log.Lines("stdout")
	a.Write([]byte("begin"))
	b.Resume(a.Unread())
	b.Write([]byte(" end\n"))
	if len(w.messages) != 1 || string(w.messages[0].Line) != "begin end" {
		t.Errorf("%+v", w.messages)
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb"), 1)
	f.Add(bytes.Repeat([]byte("y"), 40000), 7000)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		if step < 1 {
			step = 1
		}
		w := &kept{}
		l := NewLog(w, slog.New(slog.DiscardHandler)).Lines("stdout")
		for rest := data; len(rest) > 0; {
			n := min(step, len(rest))
			l.Write(rest[:n])
			rest = rest[n:]
		}
		l.End()
		var out []byte
		for _, m := range w.messages {
			if len(m.Line) > logdriver.PartSize {
				t.Fatalf("message of %d bytes", len(m.Line))
			}
			out = append(out, m.Line...)
			if !m.Partial {
				out = append(out, '\n')
			}
		}
		if !bytes.Equal(out, data) {
			t.Errorf("%d bytes became %d", len(data), len(out))
		}
	})
}
