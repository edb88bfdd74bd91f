package network

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// inside marks the process that has namespaces of its own.
const inside = "GANTRY_NETWORK_TEST_INSIDE"

// TestMain runs the tests in network and mount namespaces of their own.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(runInside(m))
	}
	if os.Geteuid() != 0 {
		fmt.Println("skip: namespaces need root")
		return
	}
	cmd := exec.Command("unshare", append([]string{"-n", "-m", "--propagation", "private", "--", os.Args[0]}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit, ok := err.(*exec.ExitError); ok {
		os.Exit(exit.ExitCode())
	} else if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// runInside gives the host an address and a neighbour on a network outside.
func runInside(m *testing.M) int {
	if err := outside(); err != nil {
		fmt.Println("set up namespaces:", err)
		return 1
	}
	return m.Run()
}

// Addresses of the host and of its neighbour.
const hostAddress, neighbourAddress = "192.0.2.1", "192.0.2.2"

// deadline bounds every wait of a test.
const deadline = 10 * time.Second
