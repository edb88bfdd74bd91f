package network

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"gantry/internal/fault"

	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// crashEnv names the directory of the process that is to be killed.
const crashEnv = "GANTRY_NETWORK_TEST_CRASH"

// connectAndDisconnect is what that process does, in the namespaces of the test that starts it.
func connectAndDisconnect(dir string) int {
	ctx := context.Background()
	s, err := Open(ctx, crashConfig(dir))
	if err == nil {
		err = s.Settle(ctx)
	}
	if err == nil {
		_, err = s.Connect(ctx, Request{ContainerID: "web", Mode: "bridge", Ports: network.PortMap{
			network.MustParsePort("80/tcp"): {{HostPort: "8080"}},
		}})
	}
	if err == nil {
		err = s.Disconnect(ctx, "web")
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	return 1
}

func crashConfig(dir string) Config {
	return Config{Root: dir + "/root", ExecRoot: dir + "/exec", Bridge: "lab0"}
}

func TestNothingIsLeftOfAKilledProcess(t *testing.T) {
	for _, point := range []string{
		"network.connect.sandbox", "network.connect.interface", "network.connect.done", "network.disconnect.withdrawn",
	} {
		t.Run(point, func(t *testing.T) {
			dir := t.TempDir()
			addBridge(t, "lab0")
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), crashEnv+"="+dir, fault.Env+"="+point)
			out, err := cmd.CombinedOutput()
			if status, ok := cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }); !ok || status.Signal() != unix.SIGKILL {
				t.Fatalf("%v: %s", err, out)
			}
			l := newLab(t, func(c *Config) { *c = crashConfig(dir) })
			l.background.Wait()
			keys, veths, before := l.left(t)
			if len(keys) != 0 || len(veths) != 0 {
				t.Errorf("sandboxes %v, interfaces %v", keys, veths)
			}
			l.connect(t, request(t, "next", "8080:80/tcp"))
			l.disconnect(t, "next")
			if _, _, after := l.left(t); after != before {
				t.Errorf("rules: %s, were %s", after, before)
			}
		})
	}
}
