// Package integration tests a whole engine, through the API and through the docker CLI.
//
// Most tests share one engine and run side by side: they name what they make through their Session, and look only at
// that. Tests that stop, reconfigure or prune an engine start their own. The engine under test and the reference that
// keeps the tests honest are described in gantry/internal/testkit.
package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gantry/internal/testkit"
)

// long adds the tests that take minutes: go test ./integration -long.
var long = flag.Bool("long", false, "run the long tests too")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if e := started.Load(); e != nil {
		if err := e.Close(); err != nil {
			fmt.Fprintf(os.Stderr, "FAIL: the shared engine: %v\n", err)
			code = max(code, 1)
		}
		if code != 0 {
			fmt.Fprintf(os.Stderr, "complaints of the shared engine:\n%s", complaints(e.Log()))
		}
		_ = os.RemoveAll(e.Dir)
	}
	testkit.Cleanup()
	os.Exit(code)
}

// started is the shared engine once a test has asked for it.
var started atomic.Pointer[testkit.Engine]

var shared = sync.OnceValues(func() (*testkit.Engine, error) {
	e, err := testkit.New(testkit.Options{})
	if err != nil {
		return nil, err
	}
	started.Store(e)
	if err := e.LoadBusybox(); err != nil {
		return nil, err
	}
	// What a daemon makes for its first container and keeps is no leak.
	cmd := e.Command(context.Background(), "run", "--rm", "busybox", "true")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("first container: %w: %s", err, out)
	}
	e.Baseline()
	return e, nil
})

// engine is the shared engine in the hands of one test. It has the image busybox.
func engine(t *testing.T) *testkit.Session {
	t.Helper()
	e, err := shared()
	if err != nil {
		t.Fatalf("start the shared engine: %v", err)
	}
	return e.Session(t)
}

// own starts an engine for this test alone. It has the image busybox.
func own(t *testing.T, o testkit.Options) *testkit.Session {
	t.Helper()
	d := testkit.Start(t, o).Session(t)
	d.LoadBusybox()
	return d
}

// complaints are the lines of a log that are warnings or worse, and stacks.
func complaints(log string) string {
	var out strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "level=debug") && !strings.Contains(line, "level=info") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// gantryOnly skips a test of what dockerd does not have, or has in another form.
func gantryOnly(t *testing.T, d *testkit.Session, what string) {
	t.Helper()
	if d.Reference() {
		t.Skip("the reference has no " + what)
	}
}
