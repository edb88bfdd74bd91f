package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asProgram makes the test binary be gantryd.
const asProgram = "GANTRYD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run("gantryd", os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const contrib = "../../contrib"

func TestExampleConfigurationIsValid(t *testing.T) {
	if status, _, err := gantryd("--validate", "--config-file", contrib+"/daemon.json"); status != 0 {
		t.Error(err)
	}
}

func TestInstall(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	bin, dest := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "gantryd")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "gantry-supervisor"), []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(target string) {
		t.Helper()
		cmd := exec.Command("make", "-f", contrib+"/install.mk", target, "BIN="+bin, "DESTDIR="+dest, "PREFIX=/opt/x")
		cmd.Env = append(os.Environ(), asProgram+"=1", "MAKEFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run("install")
	for name, want := range map[string]string{
		"bin/gantryd":                                  "",
		"bin/gantry-supervisor":                        "x",
		"lib/systemd/system/gantryd.service":           "\nExecStart=/opt/x/bin/gantryd\n",
		"lib/systemd/system/gantryd.socket":            "ListenStream=/run/gantry/gantry.sock",
		"lib/systemd/system/gantry-supervisor.service": "ExecStart=/opt/x/bin/gantry-supervisor ",
		"lib/sysusers.d/gantry.conf":                   "g docker -",
		"share/man/man8/gantryd.8":                     ".TH GANTRYD 8",
		"share/bash-completion/completions/gantryd":    "complete -F _gantryd gantryd",
		"share/zsh/site-functions/_gantryd":            "#compdef gantryd",
		"share/fish/vendor_completions.d/gantryd.fish": "complete -c gantryd",
		"share/doc/gantry/daemon.json":                 `"data-root"`,
	} {
		data, err := os.ReadFile(filepath.Join(dest, "opt/x", name))
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	run("uninstall")
	left, err := exec.Command("find", dest, "-type", "f").Output()
	if err != nil || len(left) > 0 {
		t.Errorf("left: %s, %v", left, err)
	}
}

// directives reads a unit, KEY=VALUE in the last of its sections wins.
func directives(t *testing.T, unit string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(contrib, "systemd", unit))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			out[key] = value
		}
	}
	return out
}

// Restarting the daemon's service must not touch the supervisor or a container.
func TestUnitsLeaveContainersAlone(t *testing.T) {
	for _, unit := range []string{"gantryd.service", "gantry-supervisor.service"} {
		d := directives(t, unit)
		if d["KillMode"] != "process" || d["Delegate"] != "yes" || d["OOMPolicy"] != "continue" {
			t.Errorf("%s: %v", unit, d)
		}
	}
	daemon, supervisor := directives(t, "gantryd.service"), directives(t, "gantry-supervisor.service")
	if daemon["Type"] != "notify" || !strings.Contains(daemon["After"], "gantry-supervisor.service") {
		t.Errorf("%v", daemon)
	}
	for _, bond := range []string{"PartOf", "BindsTo", "Requires"} {
		if strings.Contains(supervisor[bond], "gantryd.service") || strings.Contains(daemon[bond], "gantry-supervisor") {
			t.Errorf("%s= ties the supervisor to the daemon", bond)
		}
	}
	if strings.Contains(supervisor["Before"], "gantryd.service") == false {
		t.Error("at the end of the system, the supervisor would stop before the daemon has stopped the containers")
	}
}
