// Package filter holds the "filters" query parameter of the Engine API:
// a set of values per key, which a list endpoint matches its objects against.
package filter

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// maxJSON bounds the parameter; dockerd's HTTP server bounds the URL at 1 MiB.
const maxJSON = 1 << 20

// Args maps a filter's name to its values. A nil Args matches everything.
type Args map[string][]string

// Parse reads the two encodings that clients send: {"label":["a","b"]} and,
// since API 1.22, {"label":{"a":true,"b":true}}. An empty string is no filter.
// Errors: invalid argument.
func Parse(s string) (Args, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxJSON {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter: too long")
	}
	var sets map[string]map[string]bool
	if json.Unmarshal([]byte(s), &sets) == nil {
		out := Args{}
		for key, values := range sets {
			out[key] = []string{}
			for v := range values {
				out[key] = append(out[key], v)
			}
			sort.Strings(out[key])
		}
		return out, nil
	}
	var lists map[string][]string
	if err := json.Unmarshal([]byte(s), &lists); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter: " + err.Error())
	}
	return lists, nil
}

// Validate refuses names that are not in known. Errors: invalid argument, in dockerd's words.
func (a Args) Validate(known ...string) error {
	for key := range a {
		if !slices.Contains(known, key) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", key))
		}
	}
	return nil
}

// Get returns the values of one filter.
func (a Args) Get(key string) []string { return a[key] }

// Has reports whether the filter is present.
func (a Args) Has(key string) bool { return len(a[key]) > 0 }

// Exact reports whether no value is asked for, or value is one of them.
func (a Args) Exact(key, value string) bool {
	return !a.Has(key) || slices.Contains(a[key], value)
}

// Prefix reports whether no value is asked for, or one of them is a prefix of value.
func (a Args) Prefix(key, value string) bool {
	return !a.Has(key) || slices.ContainsFunc(a[key], func(p string) bool { return strings.HasPrefix(value, p) })
}

// Fuzzy reports whether no value is asked for, or one of them is equal to value,
// a part of it, or a regular expression that matches it: how names are filtered.
func (a Args) Fuzzy(key, value string) bool {
	return !a.Has(key) || slices.ContainsFunc(a[key], func(want string) bool {
		if strings.Contains(value, want) {
			return true
		}
		re, err := regexp.Compile(want)
		return err == nil && re.MatchString(value)
	})
}

// Glob reports whether no value is asked for, or one of them is a shell pattern that matches value.
func (a Args) Glob(key, value string) bool {
	return !a.Has(key) || slices.ContainsFunc(a[key], func(want string) bool {
		ok, err := path.Match(want, value)
		return err == nil && ok
	})
}

// Labels reports whether labels has every "key" and "key=value" that the filter lists.
func (a Args) Labels(key string, labels map[string]string) bool {
	for _, want := range a[key] {
		k, v, hasValue := strings.Cut(want, "=")
		got, ok := labels[k]
		if !ok || hasValue && got != v {
			return false
		}
	}
	return true
}

// Bool returns the value of a filter that is true or false, and fallback where it is absent.
// Errors: invalid argument.
func (a Args) Bool(key string, fallback bool) (bool, error) {
	values := a[key]
	if len(values) == 0 {
		return fallback, nil
	}
	isTrue := slices.Contains(values, "1") || slices.Contains(values, "true")
	isFalse := slices.Contains(values, "0") || slices.Contains(values, "false")
	if isTrue == isFalse {
		return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s=%s'", key, values))
	}
	return isTrue, nil
}

// Until returns the bound of the "until" filter, zero if it is absent: a Unix time with
// fraction, RFC 3339 or a part of it, or a duration before now. Errors: invalid argument.
func (a Args) Until(now time.Time) (time.Time, error) {
	values := a["until"]
	switch len(values) {
	case 0:
		return time.Time{}, nil
	case 1:
		return parseTime(values[0], now)
	}
	return time.Time{}, errdefs.ErrInvalidArgument.WithMessage("more than one until filter specified")
}

// layouts are what clients write beside RFC 3339, longest first; without a zone they are local times, as in dockerd.
var layouts = [...]string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02Z07:00", "2006-01-02"}

func parseTime(v string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(v); err == nil {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return t, nil
	}
	for _, l := range layouts {
		if t, err := time.ParseInLocation(l, v, now.Location()); err == nil {
			return t, nil
		}
	}
	seconds, fraction, _ := strings.Cut(v, ".")
	s, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid time %q: want a Unix time, RFC 3339 or a duration", v))
	}
	var ns int64
	if fraction != "" {
		ns, err = strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
		if err != nil {
			return time.Time{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid time %q: %v", v, err))
		}
	}
	return time.Unix(s, ns), nil
}
