package api

import (
	"strconv"
	"strings"
	"time"
)

// instant reads a point in time as clients write it: seconds since 1970 with up to nine digits of a fraction, RFC
// 3339, or how long ago ("10m"). An empty text is no time. Errors: invalid argument.
func instant(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, ok := unixTime(text); ok {
		return t, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, invalid("invalid value for %s: %q is no time", name, text)
}

// unixTime reads SECONDS[.FRACTION].
func unixTime(text string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if fraction == "" {
		return time.Unix(seconds, 0), true
	}
	if strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, false
	}
	fraction = (fraction + "000000000")[:9]
	nanos, err := strconv.ParseInt(fraction, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if strings.HasPrefix(whole, "-") {
		nanos = -nanos
	}
	return time.Unix(seconds, nanos), true
}
