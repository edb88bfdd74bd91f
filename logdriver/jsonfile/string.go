package jsonfile

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// rawString returns the inside of the JSON string at the beginning of data, with its escapes, and
// what follows it. A control character is not allowed in one.
func rawString(data []byte) (raw, rest []byte, ok bool) {
	if len(data) == 0 || data[0] != '"' {
		return nil, nil, false
	}
	for i := 1; ; {
		quote := bytes.IndexByte(data[i:], '"')
		if quote < 0 {
			return nil, nil, false
		}
		i += quote
		backslashes := 0
		for data[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return data[1:i], data[i+1:], true
		}
		i++
	}
}

// unescape appends what the inside of a JSON string means. It refuses what is not valid.
func unescape(dst, raw []byte) ([]byte, bool) {
	for i := 0; i < len(raw); {
		n := plainPrefix(raw[i:])
		dst = append(dst, raw[i:i+n]...)
		if i += n; i == len(raw) {
			break
		}
		switch b := raw[i]; {
		case b < ' ' || b == '"':
			return dst, false
		case b == '\\':
			var ok bool
			if dst, n, ok = appendUnescaped(dst, raw[i+1:]); !ok {
				return dst, false
			}
			i += 1 + n
		case b < utf8.RuneSelf:
			dst = append(dst, b)
			i++
		default:
			// What is not UTF-8 becomes the replacement character.
			r, size := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return dst, true
}

// appendUnescaped reads what follows a backslash, and returns its length.
func appendUnescaped(dst, raw []byte) ([]byte, int, bool) {
	if len(raw) == 0 {
		return dst, 0, false
	}
	switch raw[0] {
	case '"', '\\', '/':
		return append(dst, raw[0]), 1, true
	case 'n':
		return append(dst, '\n'), 1, true
	case 'r':
		return append(dst, '\r'), 1, true
	case 't':
		return append(dst, '\t'), 1, true
	case 'b':
		return append(dst, '\b'), 1, true
	case 'f':
		return append(dst, '\f'), 1, true
	case 'u':
		return appendUnicode(dst, raw)
	default:
		return dst, 0, false
	}
}

// appendUnicode reads uXXXX, and a second escape where the two are a surrogate pair. Half a
// pair is the replacement character.
func appendUnicode(dst, raw []byte) ([]byte, int, bool) {
	r, ok := hex4(raw)
	if !ok {
		return dst, 0, false
	}
	n := 5
	if utf16.IsSurrogate(r) {
		pair := rune(utf8.RuneError)
		if len(raw) > n && raw[n] == '\\' {
			if low, ok := hex4(raw[n+1:]); ok {
				pair = utf16.DecodeRune(r, low)
			}
		}
		if pair != utf8.RuneError {
			n += 6
		}
		r = pair
	}
	return utf8.AppendRune(dst, r), n, true
}

func hex4(raw []byte) (rune, bool) {
	if len(raw) < 5 || raw[0] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(string(raw[1:5]), 16, 16)
	return rune(v), err == nil
}

// parseTime reads RFC 3339. Times in UTC, which is what engines write, take the short way.
func parseTime(raw []byte) (time.Time, bool) {
	const seconds = len("2006-01-02T15:04:05")
	if len(raw) > seconds && raw[len(raw)-1] == 'Z' {
		year, ok1 := number(raw, 0, 4)
		month, ok2 := number(raw, 5, 7)
		day, ok3 := number(raw, 8, 10)
		hour, ok4 := number(raw, 11, 13)
		minute, ok5 := number(raw, 14, 16)
		second, ok6 := number(raw, 17, 19)
		nanos, ok7 := fraction(raw[seconds : len(raw)-1])
		separated := raw[4] == '-' && raw[7] == '-' && raw[10] == 'T' && raw[13] == ':' && raw[16] == ':'
		if ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && separated {
			t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
			// A day that does not exist would become another one.
			return t, t.Day() == day && int(t.Month()) == month && t.Hour() == hour && t.Minute() == minute && t.Second() == second
		}
	}
	t, err := time.Parse(time.RFC3339Nano, string(raw))
	return t, err == nil
}

func number(raw []byte, from, to int) (int, bool) {
	n := 0
	for _, b := range raw[from:to] {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + int(b-'0')
	}
	return n, true
}

// fraction reads "" or a point and up to nine digits, in nanoseconds.
func fraction(raw []byte) (int, bool) {
	if len(raw) == 0 {
		return 0, true
	}
	if raw[0] != '.' || len(raw) < 2 || len(raw) > 10 {
		return 0, false
	}
	n, ok := number(raw, 1, len(raw))
	for i := len(raw); i < 10; i++ {
		n *= 10
	}
	return n, ok
}
