package task

import (
	"strings"
	"testing"

	"gantry/task/protocol"
)

func TestParseVersion(t *testing.T) {
	for out, want := range map[string][2]string{
		"crun version 1.8.1\ncommit: f8a0\n":               {protocol.KindCrun, "1.8.1"},
		"runc version 1.1.5+ds1\ncommit: x\nspec: 1.0.2\n": {protocol.KindRunc, "1.1.5+ds1"},
		"runsc version release-20240311.0\n":               {"", "release-20240311.0"},
		"youki version 0.3.3\n":                            {"", "0.3.3"},
		"":                                                 {"", ""},
	} {
		if kind, version := parseVersion(out); kind != want[0] || version != want[1] {
			t.Errorf("%q: %q %q", out, kind, version)
		}
	}
}

func TestAdvisories(t *testing.T) {
	for _, c := range []struct {
		kind, version string
		flaws         int
	}{
		{protocol.KindRunc, "1.0.0-rc.6", 3},
		{protocol.KindRunc, "1.1.5+ds1", 2},
		{protocol.KindRunc, "1.1.12", 1},
		{protocol.KindRunc, "1.2.7", 1},
		{protocol.KindRunc, "1.2.8", 0},
		{protocol.KindRunc, "1.3.2", 1},
		{protocol.KindRunc, "1.3.3", 0},
		{protocol.KindRunc, "1.4.0-rc.2", 1},
		{protocol.KindRunc, "1.4.0-rc.3", 0},
		{protocol.KindRunc, "1.5.0", 0},
		{protocol.KindCrun, "1.8.1", 1},
		{protocol.KindCrun, "1.20", 0},
		{"", "1.0", 0},
		{protocol.KindRunc, "unknown", 0},
	} {
		got := advisories("r", found{Runtime: Runtime{Version: c.version}, kind: c.kind})
		if len(got) != c.flaws {
			t.Errorf("%s %s: %s", c.kind, c.version, strings.Join(got, "\n"))
		}
	}
}

func FuzzVersion(f *testing.F) {
	f.Add("runc version 1.4.0-rc.3")
	f.Fuzz(func(t *testing.T, out string) {
		kind, version := parseVersion(out)
		advisories("r", found{Runtime: Runtime{Version: version}, kind: kind})
	})
}
