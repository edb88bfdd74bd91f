package fault_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"gantry/internal/fault"
)

// TestMain is the process that is killed when a point is armed: it passes three points, one of them twice.
func TestMain(m *testing.M) {
	if os.Getenv(fault.Env) == "" {
		os.Exit(m.Run())
	}
	for _, name := range []string{"a.b.one", "a.b.two", "a.b.one"} {
		fault.Point(name)
		os.Stdout.WriteString(name + " ")
	}
	os.Exit(0)
}

func TestAnArmedPointKills(t *testing.T) {
	for armed, passed := range map[string]string{
		"a.b.one":   "",
		"a.b.two":   "a.b.one",
		"a.b.one:2": "a.b.one a.b.two",
		"a.b.one:3": "a.b.one a.b.two a.b.one",
		"a.b":       "a.b.one a.b.two a.b.one",
	} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{fault.Env + "=" + armed}
		out, err := cmd.Output()
		if got := strings.TrimSpace(string(out)); got != passed {
			t.Errorf("%s: passed %q, %v", armed, got, err)
		}
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; killed == (passed == "a.b.one a.b.two a.b.one") {
			t.Errorf("%s: killed: %v", armed, killed)
		}
	}
}
