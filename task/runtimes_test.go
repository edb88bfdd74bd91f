package task

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// TestReload: a runtime that is listed later can be used, and a default that cannot be used changes nothing.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho crun version 9.8.7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Service{cfg: Config{Root: dir}}
	cfg := Config{Runtimes: map[string]Runtime{"first": {Path: path}}, DefaultRuntime: "first"}
	if err := s.Reload(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Runtimes = map[string]Runtime{"first": {Path: path}, "second": {Path: path, Args: []string{"--debug"}}}
	cfg.DefaultRuntime = "second"
	if err := s.Reload(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	all, byDefault := s.Runtimes()
	if byDefault != "second" || all["second"].Version != "9.8.7" {
		t.Errorf("%s of %v", byDefault, all)
	}
	if r, err := s.runtimes.Load().find(""); err != nil || r.Name != "second" || r.Args[0] != "--debug" || r.Root != filepath.Join(dir, "runtime-second") {
		t.Errorf("%+v %v", r, err)
	}
	cfg.DefaultRuntime = "third"
	if err := s.Reload(t.Context(), cfg); !errdefs.IsInvalidArgument(err) {
		t.Errorf("default that is not there: %v", err)
	}
	if _, byDefault := s.Runtimes(); byDefault != "second" {
		t.Errorf("the default is %s", byDefault)
	}
}

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
