package drivers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry/logdriver"
	"gantry/logdriver/drivers"

	"github.com/containerd/errdefs"
)

// log is the log of one container under test.
type log struct {
	t      *testing.T
	driver string
	info   logdriver.Info
	w      logdriver.Writer
	n      int // messages written
}

// eachDriver runs the test on every driver that can be read back: the suite that a new one has to pass.
func eachDriver(t *testing.T, test func(t *testing.T, l *log)) {
	paths := map[string]string{"json-file": "x-json.log", "local": "local-logs"}
	for _, name := range []string{"json-file", "local"} {
		t.Run(name, func(t *testing.T) {
			l := &log{t: t, driver: name}
			l.info = logdriver.Info{ContainerID: "x", Path: filepath.Join(t.TempDir(), paths[name]), Options: map[string]string{}}
			t.Cleanup(l.close)
			test(t, l)
		})
	}
}

// epoch is when the first message of a test is written; each is a second after the one before.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func text(i int) string           { return fmt.Sprintf("message %06d", i) }
func at(i int) time.Time          { return epoch.Add(time.Duration(i) * time.Second) }
func (l *log) option(k, v string) { l.info.Options[k] = v }

func (l *log) open() {
	l.t.Helper()
	w, err := drivers.Open(l.driver, l.info)
	if err != nil {
		l.t.Fatal(err)
	}
	l.w = w
}

func (l *log) close() {
	if l.w == nil {
		return
	}
	if err := l.w.Close(); err != nil {
		l.t.Error(err)
	}
	l.w = nil
}

// write logs count numbered messages and flushes.
func (l *log) write(count int) {
	l.t.Helper()
	if l.w == nil {
		l.open()
	}
	for range count {
		m := logdriver.Message{Line: []byte(text(l.n)), Source: "stdout", Time: at(l.n)}
		if err := l.w.Log(&m); err != nil {
			l.t.Fatal(err)
		}
		l.n++
	}
	if err := l.w.Flush(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *log) reader() logdriver.Reader {
	l.t.Helper()
	r, err := drivers.OpenReader(l.driver, l.info)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (l *log) read(cfg logdriver.ReadConfig) []string {
	l.t.Helper()
	lines := []string{}
	for m, err := range l.reader().Read(context.Background(), cfg) {
		if err != nil {
			l.t.Fatal(err)
		}
		lines = append(lines, string(m.Line))
	}
	return lines
}

// expect compares lines with the messages from (inclusive) to (exclusive).
func expect(t *testing.T, lines []string, from, to int) {
	t.Helper()
	if len(lines) != to-from {
		t.Fatalf("got %d messages, want %d to %d: %.300q", len(lines), from, to, lines)
	}
	for i, line := range lines {
		if line != text(from+i) {
			t.Fatalf("message %d is %q, want %q", i, line, text(from+i))
		}
	}
}

// files lists what is in the log's directory.
func (l *log) files() []string {
	l.t.Helper()
	directory := l.info.Path
	if l.driver == "json-file" {
		directory = filepath.Dir(directory)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		l.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// current is the file being written.
func (l *log) current() string {
	if l.driver == "local" {
		return filepath.Join(l.info.Path, "container.log")
	}
	return l.info.Path
}

var everything = logdriver.ReadConfig{Tail: -1}

func TestMessagesComeBackAsWritten(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.info.Labels = map[string]string{"b": "<2>", "a": "1", "c": "3"}
		l.option("labels", "b,a")
		l.open()
		written := []logdriver.Message{
			{Line: []byte(""), Source: "stdout", Time: at(0)},
			{Line: []byte("tab\tquote\" back\\slash \x1b[1m <&> \u2028 äöü 世界\r"), Source: "stderr", Time: at(1)},
			{Line: []byte("first"), Source: "stdout", Time: at(2), Partial: true, PartialID: "p", Ordinal: 1},
			{Line: []byte("last"), Source: "stdout", Time: at(3), PartialID: "p", Ordinal: 2},
			{Line: []byte(strings.Repeat("\x01", logdriver.PartSize)), Source: "stdout", Time: at(4)},
		}
		for i := range written {
			if err := l.w.Log(&written[i]); err != nil {
				t.Fatal(err)
			}
		}
		l.close()
		i := 0
		for m, err := range l.reader().Read(t.Context(), everything) {
			if err != nil {
				t.Fatal(err)
			}
			w := written[i]
			if string(m.Line) != string(w.Line) || m.Source != w.Source || !m.Time.Equal(w.Time) || m.Partial != w.Partial {
				t.Errorf("message %d: got %+v, want %+v", i, m, w)
			}
			if fmt.Sprint(m.Attrs) != "[{a 1} {b <2>}]" {
				t.Errorf("message %d: attributes %v", i, m.Attrs)
			}
			if l.driver == "local" && (m.PartialID != w.PartialID || m.Ordinal != w.Ordinal) {
				t.Errorf("message %d: part %q %d, want %q %d", i, m.PartialID, m.Ordinal, w.PartialID, w.Ordinal)
			}
			i++
		}
		if i != len(written) {
			t.Errorf("got %d messages, want %d", i, len(written))
		}
	})
}

func TestLogThatIsNotThereIsEmpty(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		expect(t, l.read(everything), 0, 0)
		expect(t, l.read(logdriver.ReadConfig{Tail: 5}), 0, 0)
	})
}

func TestFlushMakesMessagesVisible(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		for i := 1; i < 5; i++ {
			l.write(1)
			expect(t, l.read(everything), 0, i)
		}
	})
}

func TestValidateSpeaksLikeDockerd(t *testing.T) {
	type options map[string]string
	for _, c := range []struct {
		driver  string
		options options
		message string
	}{
		{"json-file", options{"max-size": "10m", "max-file": "3", "compress": "true", "labels": "a", "tag": "{{.Name}}"}, ""},
		{"json-file", options{"max-size": "-1"}, ""},
		{"json-file", options{"mode": "non-blocking", "max-buffer-size": "4m"}, ""},
		{"json-file", options{"bogus": "1"}, "unknown log opt 'bogus' for json-file log driver"},
		{"json-file", options{"max-size": "lots"}, "invalid size: 'lots'"},
		{"json-file", options{"max-size": "0"}, "max-size must be a positive number"},
		{"json-file", options{"max-file": "0"}, "max-file cannot be less than 1"},
		{"json-file", options{"max-file": "1", "compress": "true"}, "compress cannot be true when max-file is less than 2 or max-size is not set"},
		{"json-file", options{"max-size": "-1", "compress": "true"}, "compress cannot be true when max-file is less than 2 or max-size is not set"},
		{"json-file", options{"mode": "sometimes"}, "logger: logging mode not supported: sometimes"},
		{"json-file", options{"max-buffer-size": "1m"}, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"},
		{"json-file", options{"labels-regex": "("}, "invalid value for log opt labels-regex: error parsing regexp: missing closing ): `(`"},
		{"local", options{"max-size": "1m"}, ""},
		{"local", options{"bogus": "1"}, "unknown log opt 'bogus' for log driver local"},
		{"local", options{"max-file": "1"}, "compression cannot be enabled when max file count is 1"},
		{"local", options{"compress": "maybe"}, `invalid value for compress: maybe: strconv.ParseBool: parsing "maybe": invalid syntax`},
		{"none", options{"anything": "goes"}, ""},
		{"nonesuch", nil, `error looking up logging plugin nonesuch: plugin "nonesuch" not found`},
		{"syslog", nil, "logger: the log driver 'syslog' has not landed in gantry yet: use one of [json-file local none]"},
	} {
		err := drivers.Validate(c.driver, c.options)
		if c.message == "" && err != nil || c.message != "" && (err == nil || err.Error() != c.message) {
			t.Errorf("%s %v: got %v, want %q", c.driver, c.options, err, c.message)
		}
		if err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s %v: %v is not an invalid argument", c.driver, c.options, err)
		}
	}
}

func TestNoneCannotBeRead(t *testing.T) {
	w, err := drivers.Open("none", logdriver.Info{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Log(&logdriver.Message{}), w.Flush(), w.Close()); err != nil {
		t.Error(err)
	}
	_, err = drivers.OpenReader("none", logdriver.Info{})
	if !errdefs.IsNotImplemented(err) || err.Error() != "configured logging driver does not support reading" {
		t.Errorf("got %v", err)
	}
}

func openDriver(l *log) (logdriver.Writer, error) { return drivers.Open(l.driver, l.info) }
