package network

import (
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"gantry/network/apart"
)

// long makes tests repeat themselves many more times, which takes minutes.
var long = flag.Bool("long", false, "run the long tests too")

// TestMain runs the tests on a host of their own, which has a neighbour.
func TestMain(m *testing.M) {
	if seed, err := strconv.ParseUint(os.Getenv(randomEnv), 10, 64); err == nil {
		os.Exit(workAtRandom(os.Getenv(crashEnv), seed))
	}
	if dir := os.Getenv(crashEnv); dir != "" {
		os.Exit(connectAndDisconnect(dir))
	}
	apart.Main(m, outside)
}

// Addresses of the host and of its neighbour.
const hostAddress, neighbourAddress = "192.0.2.1", "192.0.2.2"

// deadline bounds every wait of a test.
const deadline = 10 * time.Second
