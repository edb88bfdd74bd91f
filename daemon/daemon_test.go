package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry/config"

	"golang.org/x/sys/unix"
)

// apart marks the copy of the test that has mount, network and PID namespaces of its own.
const apart = "GANTRY_TEST_APART"

func TestMain(m *testing.M) {
	if root := os.Getenv(migrateRoot); root != "" {
		os.Exit(migrateChild(root))
	}
	if os.Getenv(apart) == "" {
		os.Exit(inNamespaces())
	}
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
	} {
		if err != nil {
			fmt.Fprintln(os.Stderr, "prepare namespaces:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// inNamespaces runs the test again where its daemons change nothing of the host. The supervisor is built first, in
// the directory of the test's executable: that is where a daemon looks for it.
func inNamespaces() int {
	self, err := os.Executable()
	if err == nil {
		build := exec.Command("go", "build", "-o", filepath.Join(filepath.Dir(self), "gantry-supervisor"), "gantry/cmd/gantry-supervisor")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		err = build.Run()
	}
	if err == nil {
		cmd := exec.Command(self, os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), apart+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var errRefused = errors.New("refused by the test")

// TestOpenFailsAtEachStep fails every step in turn. Whatever was opened before it is closed, so that
// no goroutine, descriptor, mount or process stays, and the next daemon opens the same data root.
func TestOpenFailsAtEachStep(t *testing.T) {
	cfg := configure(t)
	steps := openAndClose(t, cfg)
	for i, step := range steps {
		t.Run(step, func(t *testing.T) {
			before := measure(t)
			var seen []string
			d, err := Open(t.Context(), cfg, func(name string) error {
				seen = append(seen, name)
				if name == step {
					return errRefused
				}
				return nil
			})
			if !errors.Is(err, errRefused) || !strings.HasPrefix(err.Error(), "open "+step+": ") {
				t.Errorf("error %q does not name the step %q", err, step)
			}
			if !slices.Equal(seen, steps[:i+1]) {
				t.Errorf("steps %q were tried, not those up to %q", seen, step)
			}
			if !slices.Equal(d.Opened, steps[:i]) {
				t.Errorf("steps %q were opened", d.Opened)
			}
			awaitNoMore(t, before)
		})
	}
	openAndClose(t, cfg)
}

func configure(t *testing.T) *config.Config {
	t.Helper()
	dir := t.TempDir()
	cfg, err := config.Load("gantryd", []string{
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--config-file", "/dev/null", "--host", "unix://" + filepath.Join(dir, "sock"),
	}, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func openAndClose(t *testing.T, cfg *config.Config) (steps []string) {
	t.Helper()
	d, err := Open(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	steps = slices.Clone(d.Opened)
	if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return steps
}

// holdings is what an open daemon holds of the system.
type holdings struct {
	goroutines, descriptors, mounts, processes int
}

func measure(t *testing.T) holdings {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	return holdings{runtime.NumGoroutine(), len(descriptors), strings.Count(string(mounts), "\n"), len(processes)}
}

// awaitNoMore polls: what runs out after Close has returned, such as an ended process, may take a moment.
func awaitNoMore(t *testing.T, before holdings) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		runtime.GC() // containerd's content store leaves the descriptor of its fs-verity check to the finalizer
		now := measure(t)
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors && now.mounts <= before.mounts && now.processes <= before.processes {
			return
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("held after: %+v, before: %+v\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}
