package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	var out, err bytes.Buffer
	if e := run(t.Context(), []string{"version"}, streams{out: &out, err: &err}); e != nil || !strings.HasPrefix(out.String(), "gantry version ") {
		t.Errorf("%s, %v", out.String(), e)
	}
	out.Reset()
	if e := run(t.Context(), []string{"--help"}, streams{out: &out, err: &err}); e != nil {
		t.Error(e)
	}
	for _, c := range commands() {
		if !strings.Contains(out.String(), "\n  "+c.name+" ") {
			t.Errorf("%s is not in the help", c.name)
		}
	}
	if e := run(t.Context(), nil, streams{out: &out, err: &err}); !errors.Is(e, errUsage) || err.Len() == 0 {
		t.Errorf("without a command: %v", e)
	}
	if e := run(t.Context(), []string{"x"}, streams{out: &out, err: &err}); e == nil || !strings.Contains(e.Error(), `no command "x"`) {
		t.Errorf("unknown: %v", e)
	}
}
