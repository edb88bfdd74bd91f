package jsonfile

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"gantry/logdriver"
)

// decoded is the scratch memory of Decode.
type decoded struct {
	line     []byte
	rawAttrs []byte // what attrs was read from
	attrs    []logdriver.Attr
}

// line is the object as encoding/json reads it: for lines that are valid and unlike what
// dockerd and gantry write.
type line struct {
	Log    string            `json:"log"`
	Stream string            `json:"stream"`
	Attrs  map[string]string `json:"attrs"`
	Time   time.Time         `json:"time"`
}

// Decode reads a line. An object without a time is no message: it is what a crash
// has left, or nothing of a log at all.
func (f *format) Decode(record []byte, m *logdriver.Message) bool {
	if !f.decodeUsual(record, m) && !f.decodeAny(record, m) {
		return false
	}
	text, whole := bytes.CutSuffix(m.Line, []byte{'\n'})
	m.Line, m.Partial = text, !whole
	return true
}

// decodeUsual reads an object that has only the members that belong there, with strings of any
// content and no white space.
func (f *format) decodeUsual(record []byte, m *logdriver.Message) bool {
	*m = logdriver.Message{Line: f.decoded.line[:0]}
	rest, ok := bytes.CutPrefix(record, []byte{'{'})
	for ok {
		var key []byte
		if key, rest, ok = rawString(rest); !ok || len(rest) == 0 || rest[0] != ':' {
			return false
		}
		if rest, ok = f.member(string(key), rest[1:], m); !ok || len(rest) == 0 {
			return false
		}
		end := rest[0]
		rest = rest[1:]
		if end == '}' {
			return len(rest) == 0 && !m.Time.IsZero()
		}
		ok = end == ','
	}
	return false
}

// member reads one value into m and returns what follows it.
func (f *format) member(key string, rest []byte, m *logdriver.Message) ([]byte, bool) {
	if key == "attrs" {
		return f.attrsMember(rest, m)
	}
	raw, rest, ok := rawString(rest)
	if !ok {
		return nil, false
	}
	switch key {
	case "log":
		f.decoded.line, ok = unescape(f.decoded.line[:0], raw)
		m.Line = f.decoded.line
	case "stream":
		m.Source, ok = source(raw)
	case "time":
		m.Time, ok = parseTime(raw)
	default:
		ok = false
	}
	return rest, ok
}

func source(raw []byte) (string, bool) {
	switch string(raw) {
	case "stdout":
		return "stdout", true
	case "stderr":
		return "stderr", true
	default:
		return "", false
	}
}

// attrsMember reads the attributes, which are the same for all messages of a run.
func (f *format) attrsMember(rest []byte, m *logdriver.Message) ([]byte, bool) {
	d := &f.decoded
	if n := len(d.rawAttrs); n > 0 && bytes.HasPrefix(rest, d.rawAttrs) {
		m.Attrs = d.attrs
		return rest[n:], true
	}
	end := objectEnd(rest)
	if end < 0 {
		return nil, false
	}
	var values map[string]string
	if json.Unmarshal(rest[:end], &values) != nil {
		return nil, false
	}
	d.rawAttrs = append(d.rawAttrs[:0], rest[:end]...)
	d.attrs = sorted(values)
	m.Attrs = d.attrs
	return rest[end:], true
}

// objectEnd returns where an object without objects in it ends, or -1.
func objectEnd(data []byte) int {
	quoted := false
	for i := 0; i < len(data); i++ {
		switch {
		case data[i] == '"':
			quoted = !quoted
		case quoted && data[i] == '\\':
			i++
		case !quoted && data[i] == '}':
			return i + 1
		}
	}
	return -1
}

func sorted(values map[string]string) []logdriver.Attr {
	attrs := make([]logdriver.Attr, 0, len(values))
	for key, value := range values {
		attrs = append(attrs, logdriver.Attr{Key: key, Value: value})
	}
	slices.SortFunc(attrs, func(a, b logdriver.Attr) int { return strings.Compare(a.Key, b.Key) })
	return attrs
}

func (f *format) decodeAny(record []byte, m *logdriver.Message) bool {
	var l line
	if json.Unmarshal(record, &l) != nil || l.Time.IsZero() {
		return false
	}
	*m = logdriver.Message{Line: []byte(l.Log), Source: l.Stream, Time: l.Time}
	if len(l.Attrs) > 0 {
		m.Attrs = sorted(l.Attrs)
	}
	return true
}
