package jsonfile

import (
	"encoding/binary"
	"time"
	"unicode/utf8"

	"gantry/logdriver"
)

// format is the encoding of a line. It keeps what two messages in a row mostly share.
type format struct {
	attrs []byte // of every message, as a JSON object; nil for none

	second  int64     // Unix time that prefix is of
	prefix  []byte    // that second, up to the decimal point
	at      time.Time // the message that tail is of: all lines of one read have one time
	source  string
	tail    []byte // of such a message, from behind its line
	decoded decoded
}

// Append is byte for byte what dockerd writes: control characters but \n and \r as \u00XX, the
// characters that matter in HTML escaped, what is not UTF-8 replaced by \ufffd.
func (f *format) Append(dst []byte, m *logdriver.Message) []byte {
	dst = append(dst, `{"log":"`...)
	dst = appendEscaped(dst, m.Line)
	if !m.Partial {
		dst = append(dst, `\n`...)
	}
	if m.Time != f.at || m.Source != f.source || f.tail == nil {
		f.at, f.source, f.tail = m.Time, m.Source, f.appendTail(f.tail[:0], m)
	}
	return append(dst, f.tail...)
}

func (f *format) appendTail(dst []byte, m *logdriver.Message) []byte {
	dst = append(dst, `","stream":"`...)
	dst = appendEscaped(dst, []byte(m.Source))
	if f.attrs != nil {
		dst = append(dst, `","attrs":`...)
		dst = append(dst, f.attrs...)
		dst = append(dst, `,"time":"`...)
	} else {
		dst = append(dst, `","time":"`...)
	}
	dst = f.appendTime(dst, m.Time)
	return append(dst, "\"}\n"...)
}

func encodeAttrs(attrs []logdriver.Attr) []byte {
	if len(attrs) == 0 {
		return nil
	}
	raw := []byte{'{'}
	for i, a := range attrs {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(appendEscaped(append(raw, '"'), []byte(a.Key)), `":"`...)
		raw = append(appendEscaped(raw, []byte(a.Value)), '"')
	}
	return append(raw, '}')
}

// appendTime writes RFC 3339 with up to nine decimals, in UTC.
func (f *format) appendTime(dst []byte, t time.Time) []byte {
	if second := t.Unix(); second != f.second || f.prefix == nil {
		f.prefix = t.UTC().AppendFormat(f.prefix[:0], "2006-01-02T15:04:05")
		f.second = second
	}
	dst = append(dst, f.prefix...)
	nanos := t.Nanosecond()
	if nanos == 0 {
		return append(dst, 'Z')
	}
	digits := [10]byte{0: '.'}
	for i := 9; i > 0; i-- {
		digits[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	n := 10
	for digits[n-1] == '0' {
		n--
	}
	return append(append(dst, digits[:n]...), 'Z')
}

const hex = "0123456789abcdef"

// appendEscaped writes the inside of a JSON string.
func appendEscaped(dst, s []byte) []byte {
	for {
		n := plainPrefix(s)
		dst = append(dst, s[:n]...)
		s = s[n:]
		if len(s) == 0 {
			return dst
		}
		if b := s[0]; b < utf8.RuneSelf {
			dst = appendEscapedByte(dst, b)
			s = s[1:]
			continue
		}
		r, size := utf8.DecodeRune(s)
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			dst = append(dst, `\u202`...)
			dst = append(dst, hex[r&0xf])
		default:
			dst = append(dst, s[:size]...)
		}
		s = s[size:]
	}
}

func appendEscapedByte(dst []byte, b byte) []byte {
	switch b {
	case '\\', '"':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	default:
		return append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&0xf])
	}
}

// plainPrefix returns how many bytes at the beginning of s are themselves in a JSON string.
func plainPrefix(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if special(binary.LittleEndian.Uint64(s[i:])) {
			break
		}
	}
	for ; i < len(s); i++ {
		if !isPlain(s[i]) {
			break
		}
	}
	return i
}

func isPlain(b byte) bool {
	return b >= ' ' && b < utf8.RuneSelf && b != '"' && b != '\\' && b != '<' && b != '>' && b != '&'
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special reports whether one of eight bytes may not be plain. It works on all eight at once: a
// byte x minus n borrows into its high bit if x < n, and x xor c is less than 1 only for x = c. Characters that
// differ in one bit are tested as one, with that bit set: < and >, " and &. It may be
// wrong in one direction only, for a byte above one that is special, where it does not matter.
func special(w uint64) bool {
	const lessOrGreater, quoteOrAnd = '<' ^ '>', '"' ^ '&'
	found := w | (w - ones*' ') // not ASCII, or a control character
	found |= ((w | ones*lessOrGreater) ^ ones*'>') - ones
	found |= ((w | ones*quoteOrAnd) ^ ones*'&') - ones
	found |= (w ^ ones*'\\') - ones
	return found&highs != 0
}
