package task_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace marks the copy of the test that has a mount namespace of its own.
const inNamespace = "GANTRY_TEST_MOUNT_NAMESPACE"

// supervisorBinary is built once for all tests.
var supervisorBinary string

func TestMain(m *testing.M) {
	if root := os.Getenv("GANTRY_TEST_GANTRYD"); root != "" {
		fmt.Fprintln(os.Stderr, gantryd(root))
		os.Exit(1)
	}
	if os.Getenv(inNamespace) == "" {
		os.Exit(inOwnNamespace())
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Fprintln(os.Stderr, "make mounts private:", err)
		os.Exit(1)
	}
	// A race in the supervisor ends it, and the test with it.
	if err := os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "gantry-task-")
	if err == nil {
		supervisorBinary, err = buildSupervisor(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func inOwnNamespace() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// buildSupervisor builds the real program, with the race detector if this test has it.
func buildSupervisor(dir string) (string, error) {
	path := filepath.Join(dir, "gantry-supervisor")
	args := []string{"build", "-o", path}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				args = append(args, "-race")
			}
		}
	}
	out, err := exec.Command("go", append(args, "gantry/cmd/gantry-supervisor")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build supervisor: %w\n%s", err, out)
	}
	return path, nil
}

func randomID(t testing.TB) string {
	t.Helper()
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b[:])
}
