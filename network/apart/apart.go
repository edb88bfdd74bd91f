// Package apart runs the tests of a package in network and mount namespaces of their own.
package apart

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// inside marks the process that has been started in the namespaces.
const inside = "GANTRY_TEST_APART"

// Main is for a TestMain: it starts the test binary again in new namespaces, where it calls prepare before the tests.
func Main(m *testing.M, prepare func() error) {
	if os.Getenv(inside) != "" {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "prepare namespaces:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "skip: namespaces need root")
		return
	}
	cmd := exec.Command("unshare", append([]string{"-n", "-m", "--propagation", "private", "--", os.Args[0]}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "start tests in namespaces:", err)
		os.Exit(1)
	}
}

// Nothing is for tests that need no preparation.
func Nothing() error { return nil }
