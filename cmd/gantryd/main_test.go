package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gantryd runs the program in this process and returns what it says.
func gantryd(args ...string) (status int, out, err string) {
	var o, e bytes.Buffer
	status = run("gantryd", args, &o, &e)
	return status, o.String(), e.String()
}

func TestValidate(t *testing.T) {
	if status, _, err := gantryd("--validate", "--config-file=/dev/null"); status != 0 || err != "configuration OK\n" {
		t.Errorf("%d, %s", status, err)
	}
	bad := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(bad, []byte(`{"unknown": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "unable to configure the Docker daemon with file " + bad + ": the following directives don't match any configuration option: unknown\n"
	if status, _, err := gantryd("--validate", "--config-file", bad); status != 1 || err != want {
		t.Errorf("%d, %s", status, err)
	}
}

func TestUsage(t *testing.T) {
	if status, _, err := gantryd("--nope"); status != 1 || err != "unknown flag: --nope\nSee 'gantryd --help'.\n" {
		t.Errorf("%d, %s", status, err)
	}
	if status, out, _ := gantryd("--help"); status != 0 || !strings.HasPrefix(out, "Usage: gantryd [OPTIONS]\n") {
		t.Errorf("%d, %s", status, out)
	}
	if status, out, _ := gantryd("--version"); status != 0 || !strings.HasPrefix(out, "gantryd version ") {
		t.Errorf("%d, %s", status, out)
	}
}

func TestGeneratedFiles(t *testing.T) {
	for _, args := range [][]string{{"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"}, {"man"}} {
		if status, out, err := gantryd(args...); status != 0 || !strings.Contains(out, "data") {
			t.Errorf("%v: %d, %s", args, status, err)
		}
	}
	if status, _, err := gantryd("completion", "csh"); status != 1 || !strings.Contains(err, "bash, fish, zsh") {
		t.Errorf("%d, %s", status, err)
	}
}
