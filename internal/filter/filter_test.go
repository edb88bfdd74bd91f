package filter_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"gantry/internal/filter"

	"github.com/containerd/errdefs"
)

func TestParseReadsBothEncodings(t *testing.T) {
	for _, c := range []struct {
		in   string
		want filter.Args
	}{
		{"", nil},
		{"{}", filter.Args{}},
		{`{"label":["b","a"]}`, filter.Args{"label": {"b", "a"}}},
		{`{"label":{"b":true,"a":true},"status":{"running":true}}`, filter.Args{"label": {"a", "b"}, "status": {"running"}}},
	} {
		got, err := filter.Parse(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", c.in, got, err)
		}
	}
	for _, bad := range []string{"x", `{"a":1}`, `["a"]`, `{"a":["b"]`, `{"a":"` + strings.Repeat("b", 1<<20) + `"}`} {
		if _, err := filter.Parse(bad); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
}

func TestMatching(t *testing.T) {
	args := filter.Args{"name": {"we", "^db[0-9]$"}, "id": {"abc"}, "status": {"exited"}, "ref": {"a/*"}, "label": {"env", "tier=1"}, "empty": {}}
	labels := map[string]string{"env": "prod", "tier": "1"}
	for what, got := range map[string]bool{
		"part of a name":                   args.Fuzzy("name", "my-web"),
		"regular expression":               args.Fuzzy("name", "db7"),
		"prefix":                           args.Prefix("id", "abcdef"),
		"exact":                            args.Exact("status", "exited"),
		"pattern":                          args.Glob("ref", "a/b"),
		"labels":                           args.Labels("label", labels),
		"nothing asked for":                args.Exact("absent", "x") && args.Fuzzy("absent", "x") && args.Glob("absent", "x") && args.Labels("absent", nil),
		"no values":                        args.Exact("empty", "x") && !args.Has("empty"),
		"broken pattern matches nothing":   !(filter.Args{"a": {"["}}).Glob("a", "["),
		"broken expression is text":        (filter.Args{"a": {"("}}).Fuzzy("a", "f(x)"),
		"nil matches everything":           filter.Args(nil).Exact("a", "b"),
		"other name":                       !args.Fuzzy("name", "db77"),
		"other prefix":                     !args.Prefix("id", "xabc"),
		"other value":                      !args.Exact("status", "running"),
		"pattern does not cross a slash":   !args.Glob("ref", "a/b/c"),
		"label with another value":         !args.Labels("label", map[string]string{"env": "prod", "tier": "2"}),
		"label that is missing":            !args.Labels("label", map[string]string{"tier": "1"}),
		"every label of the filter counts": !args.Labels("label", map[string]string{"env": ""}),
	} {
		if !got {
			t.Error(what)
		}
	}
}

func TestValidateNamesTheUnknown(t *testing.T) {
	err := filter.Args{"nmae": {"x"}}.Validate("name", "id")
	if !errors.Is(err, errdefs.ErrInvalidArgument) || err.Error() != "invalid filter 'nmae'" {
		t.Error(err)
	}
}

func TestBool(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   bool
		bad    bool
	}{
		{nil, true, false}, {[]string{"1"}, true, false}, {[]string{"true"}, true, false}, {[]string{"0"}, false, false},
		{[]string{"false"}, false, false}, {[]string{"maybe"}, false, true}, {[]string{"true", "false"}, false, true},
	} {
		got, err := filter.Args{"dangling": c.values}.Bool("dangling", true)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%q: %v, %v", c.values, got, err)
		}
	}
}

func TestUntil(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"90m":                       now.Add(-90 * time.Minute),
		"2026-05-01T10:00:00Z":      time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		"2026-05-01T10:00:00+02:00": time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC),
		"2026-05-01T10:00":          time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		"2026-05-01T10":             time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		"2026-05-01":                time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"2026-05-01Z":               time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"1700000000":                time.Unix(1700000000, 0),
		"1700000000.5":              time.Unix(1700000000, 5e8),
		"1700000000.000000001":      time.Unix(1700000000, 1),
	} {
		got, err := filter.Args{"until": {in}}.Until(now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, bad := range [][]string{{"soon"}, {"1.2.3"}, {"1", "2"}, {""}, {"1700000000.0000000001"}} {
		if _, err := (filter.Args{"until": bad}).Until(now); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"label":["a"]}`, `{"until":{"1h":true}}`, `{"a":null}`, `{"name":["("]}`, "null", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args, err := filter.Parse(s)
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatal(err)
			}
			return
		}
		for key := range args {
			args.Exact(key, "v")
			args.Prefix(key, "v")
			args.Fuzzy(key, "v")
			args.Glob(key, "v")
			args.Labels(key, map[string]string{"v": ""})
			_, _ = args.Bool(key, false)
		}
		_, _ = args.Until(time.Unix(0, 0))
	})
}
