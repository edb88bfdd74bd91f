package jsonfile

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gantry/logdriver"
	"gantry/logdriver/logfile"
)

// TestLinesAreDockers compares with lines as a real dockerd writes them.
func TestLinesAreDockers(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 60_000_000, time.UTC)
	attrs := []logdriver.Attr{{Key: "env", Value: "a<b"}, {Key: "tag", Value: `w"eb`}}
	for _, c := range []struct {
		name  string
		attrs []logdriver.Attr
		m     logdriver.Message
		want  string
	}{
		{"plain", nil, logdriver.Message{Line: []byte("hello"), Source: "stdout", Time: at},
			`{"log":"hello\n","stream":"stdout","time":"2026-01-02T03:04:05.06Z"}`},
		{"empty line, whole second", nil, logdriver.Message{Source: "stderr", Time: at.Truncate(time.Second)},
			`{"log":"\n","stream":"stderr","time":"2026-01-02T03:04:05Z"}`},
		{"another zone", nil, logdriver.Message{Source: "stdout", Time: at.In(time.FixedZone("", 7200)).Add(9)},
			`{"log":"\n","stream":"stdout","time":"2026-01-02T03:04:05.060000009Z"}`},
		{"part", nil, logdriver.Message{Line: []byte("no end"), Source: "stdout", Time: at, Partial: true},
			`{"log":"no end","stream":"stdout","time":"2026-01-02T03:04:05.06Z"}`},
		{"escapes", nil, logdriver.Message{Line: []byte("\t\"\\/<&>\r\n\x00\x1b\x7f"), Source: "stdout", Time: at},
			`{"log":"\u0009\"\\/\u003c\u0026\u003e\r\n\u0000\u001b` + "\x7f" + `\n","stream":"stdout","time":"2026-01-02T03:04:05.06Z"}`},
		{"not UTF-8", nil, logdriver.Message{Line: []byte("ä\xff\xe4€\u2028\u2029"), Source: "stdout", Time: at},
			`{"log":"ä\ufffd\ufffd€\u2028\u2029\n","stream":"stdout","time":"2026-01-02T03:04:05.06Z"}`},
		{"attributes", attrs, logdriver.Message{Line: []byte("x"), Source: "stdout", Time: at},
			`{"log":"x\n","stream":"stdout","attrs":{"env":"a\u003cb","tag":"w\"eb"},"time":"2026-01-02T03:04:05.06Z"}`},
	} {
		f := &format{attrs: encodeAttrs(c.attrs)}
		if got := string(f.Append(nil, &c.m)); got != c.want+"\n" {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestLinesOfOthersAreRead(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"order and white space", `{ "time": "2026-01-02T03:04:05Z", "stream": "stdout", "log": "x\n" }`, "x"},
		{"unknown member", `{"log":"x\n","stream":"stdout","level":[1,{"a":"}"}],"time":"2026-01-02T03:04:05Z"}`, "x"},
		{"a zone", `{"log":"x\n","stream":"stdout","time":"2026-01-02T05:04:05+02:00"}`, "x"},
		{"surrogates", `{"log":"\ud83d\ude00\ud83dx\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}`, "😀\ufffdx"},
		{"attributes with braces", `{"log":"x\n","stream":"stdout","attrs":{"a\"}":"}\\"},"time":"2026-01-02T03:04:05Z"}`, "x"},
		{"no log", `{"stream":"stdout","time":"2026-01-02T03:04:05Z"}`, ""},
	} {
		var m logdriver.Message
		if !(&format{}).Decode([]byte(c.line), &m) {
			t.Errorf("%s: not a message", c.name)
		} else if string(m.Line) != c.want || m.Time.Unix() != 1767323045 {
			t.Errorf("%s: got %q at %v", c.name, m.Line, m.Time)
		}
	}
	for _, line := range []string{
		"", "{", "{}", "null", `"x"`, `{"log":"x\n","stream":"stdout"}`, `{"log":"x\n","stream":"stdout","time":"yesterday"}`,
		`{"log":"x\n","stream":"stdout","time":"2026-13-02T03:04:05Z"}`, `{"log":"x\n","stream":"stdout","time":"2026-01-02T03:04:05Z"`,
		`{"log":"x\q","stream":"stdout","time":"2026-01-02T03:04:05Z"}`, `{"log":1,"stream":"stdout","time":"2026-01-02T03:04:05Z"}`,
		`{"log":"x\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}}`, "\x00\x00", strings.Repeat("[", 100_000),
	} {
		var m logdriver.Message
		if (&format{}).Decode([]byte(line), &m) {
			t.Errorf("%.80q is a message: %+v", line, m)
		}
	}
}

// FuzzDecode compares with encoding/json: what it takes is taken, with the same meaning, and nothing else.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"x\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`))
	f.Add([]byte(`{"log":"\u0009\ud83d\ude00\n","stream":"stderr","attrs":{"a":"b"},"time":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{ "time": "2026-01-02T03:04:05+02:00", "log": "x" }`))
	f.Fuzz(func(t *testing.T, record []byte) {
		var want line
		wantOK := json.Unmarshal(record, &want) == nil && !want.Time.IsZero()
		var m logdriver.Message
		ok := (&format{}).Decode(record, &m)
		if ok != wantOK {
			t.Fatalf("got %v, encoding/json says %v", ok, wantOK)
		}
		if !ok {
			return
		}
		text := string(m.Line)
		if !m.Partial {
			text += "\n"
		}
		if text != want.Log || m.Source != want.Stream || !m.Time.Equal(want.Time) || len(m.Attrs) != len(want.Attrs) {
			t.Fatalf("got %+v (%q), encoding/json says %+v", m, m.Line, want)
		}
	})
}

// FuzzEncode checks that what is written is JSON, one line, and read back as written.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("hello <world> \x1b[0m \xff \u2028"), true, int64(1))
	f.Fuzz(func(t *testing.T, text []byte, partial bool, nanos int64) {
		if bytes.HasSuffix(text, []byte{'\n'}) {
			return // a line has none at its end
		}
		at := time.Unix(0, nanos)
		format := &format{}
		record := format.Append(nil, &logdriver.Message{Line: text, Source: "stdout", Time: at, Partial: partial})
		n, body, err := format.Split(record)
		if n != len(record) || err != nil {
			t.Fatalf("%q is not one line", record)
		}
		var want line
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q: %v", record, err)
		}
		var m logdriver.Message
		valid := string(bytes.ToValidUTF8(text, []byte("\ufffd")))
		if len(valid) == 0 || strings.Contains(valid, "\ufffd") {
			valid = string([]rune(string(text))) // one replacement for each byte
		}
		if !format.Decode(body, &m) || string(m.Line) != valid || m.Partial != partial || !m.Time.Equal(at) {
			t.Fatalf("wrote %q, read %q (%+v)", text, m.Line, m)
		}
	})
}

// FuzzSplit feeds a file in pieces, and checks that the file is always used up in the end.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\n\nb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		format := newFormat()
		for len(data) > 0 {
			n, record, err := format.Split(data)
			if err != nil || n > len(data) || len(record) > n {
				t.Fatalf("n %d, record %d, %v", n, len(record), err)
			}
			if n == 0 {
				return
			}
			data = data[n:]
		}
	})
}

func TestEndlessLineIsDropped(t *testing.T) {
	if n, record, err := newFormat().Split(make([]byte, logfile.MaxRecord)); n == 0 || record != nil || err != nil {
		t.Errorf("got %d, %d bytes, %v", n, len(record), err)
	}
}
