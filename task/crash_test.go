package task_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"gantry/internal/fault"
	"gantry/task"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// count is a script that writes rising numbers until the file /tmp/stop is there, and then exits with 5.
const count = `i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); echo "line $i"; done; echo "last $i"; exit 5`

func (h *host) stopCounting(id string) {
	h.Helper()
	if err := os.WriteFile(h.rootfs+"/tmp/stop", nil, 0o644); err != nil {
		h.Fatal(err)
	}
}

// checkCount fails unless a json-file log holds every line from the first to the last, in order. gaps tells how
// many places may lack lines.
func checkCount(t *testing.T, path string, gaps int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	number := regexp.MustCompile(`"log":"(line|last) ([0-9]+)\\n"`)
	lines, next, ended := bufio.NewScanner(f), 1, false
	for lines.Scan() {
		m := number.FindStringSubmatch(lines.Text())
		if m == nil {
			if gaps--; gaps < 0 {
				t.Fatalf("log has a broken line after %d: %s", next-1, lines.Text())
			}
			continue
		}
		var n int
		if _, err := fmt.Sscan(m[2], &n); err != nil {
			t.Fatal(err)
		}
		if m[1] == "last" {
			ended = true
			if n != next-1 {
				t.Fatalf("last line says %d, the one before %d", n, next-1)
			}
			continue
		}
		if n != next {
			if gaps--; gaps < 0 || n < next {
				t.Fatalf("line %d follows line %d", n, next-1)
			}
		}
		next = n + 1
	}
	if !ended || next < 10 {
		t.Fatalf("log ends after line %d, ended %v", next-1, ended)
	}
}

func (h *host) awaitLog(path, text string) {
	h.Helper()
	h.until("the log to hold "+text, func() bool {
		data, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(data), text)
	})
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

func TestSupervisorIsKilled(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	spec, path := h.logged(h.spec(id, count))
	spec.Process.OpenStdin = true
	h.mustStart(spec)
	execID := randomID(t)
	if _, err := h.Exec(ctx, id, execID, &specs.Process{Args: []string{"sh", "-c", "read x; exit $x"}, Cwd: "/", Env: []string{"PATH=/bin"}}, task.Process{OpenStdin: true}); err != nil {
		t.Fatal(err)
	}
	h.awaitLog(path, "line 100")
	for range 3 {
		old := h.SupervisorPid()
		killHard(t, old)
		h.until("a new supervisor", func() bool { p := h.SupervisorPid(); return p != 0 && p != old })
		before := size(t, path)
		h.until("the log to grow", func() bool { return size(t, path) > before })
	}
	states, err := h.Tasks(ctx)
	if err != nil || len(states) != 1 || len(states[0].Execs) != 1 {
		t.Fatalf("tasks: %+v %v", states, err)
	}
	stream := h.attach(id, execID, task.AttachOptions{Stdin: true, Stdout: true})
	if _, err := io.WriteString(stream, "42\n"); err != nil {
		t.Fatal(err)
	}
	if e := receive(t, h.execs, "the exec's exit"); e.Code != 42 || e.Unknown {
		t.Errorf("exec: %+v", e)
	}
	h.stopCounting(id)
	if e := h.exit(); e.Code != 5 || e.Unknown {
		t.Errorf("exit of a process that is nobody's child: %+v", e)
	}
	checkCount(t, path, 6) // what a supervisor had read and not written yet is lost with it
}

func TestExitCodeOfProcessThatEndsWithoutSupervisor(t *testing.T) {
	h := newHost(t)
	id := randomID(t)
	h.mustStart(h.spec(id, "while [ ! -e /tmp/stop ]; do sleep 0.01; done; exit 9"))
	old := h.SupervisorPid()
	if err := exec.Command("kill", "-STOP", itoa(old)).Run(); err != nil {
		t.Fatal(err)
	}
	h.stopCounting(id)
	killHard(t, old)
	if e := h.exit(); e.Code != 9 || e.Unknown {
		t.Errorf("exit: %+v", e)
	}
}

func TestGantrydIsKilled(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	if err := h.Close(ctx); err != nil {
		t.Fatal(err)
	}
	// Another process is gantryd: it starts the container and is killed.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "GANTRY_TEST_GANTRYD="+h.cfg.Root, "GANTRY_TEST_ROOTFS="+h.rootfs, "GANTRY_TEST_ID="+id, "GANTRY_TEST_CGROUP="+h.cgroup, "GANTRY_TEST_SUPERVISOR="+supervisorBinary)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSpace(line)
	h.awaitLog(path, "line 100")
	killHard(t, cmd.Process.Pid)
	_ = cmd.Wait()
	before := size(t, path)
	h.until("the log to grow without gantryd", func() bool { return size(t, path) > before })

	h.hold = true
	h.open()
	states, err := h.Tasks(ctx)
	if err != nil || len(states) != 1 || states[0].ID != id || states[0].Exited != nil {
		t.Fatalf("tasks: %+v %v", states, err)
	}
	stream := h.attach(id, "", output())
	if _, err := io.ReadFull(stream, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	h.stopCounting(id)
	e := h.exit()
	if e.Code != 5 {
		t.Errorf("exit: %+v", e)
	}
	checkCount(t, path, 0)
	// It was not acknowledged: the next gantryd is told again.
	if err := h.Close(ctx); err != nil {
		t.Fatal(err)
	}
	h.hold = false
	h.open()
	if again := h.exit(); again != e {
		t.Errorf("told %+v, and again %+v", e, again)
	}
}

// gantryd is the process that TestGantrydIsKilled kills.
func gantryd(root string) error {
	h := &host{rootfs: os.Getenv("GANTRY_TEST_ROOTFS"), cgroup: os.Getenv("GANTRY_TEST_CGROUP")}
	h.cfg = task.Config{Root: root, Supervisor: os.Getenv("GANTRY_TEST_SUPERVISOR"), CatchUp: root + "/catch-up"}
	s, err := task.Open(context.Background(), h.cfg)
	if err != nil {
		return err
	}
	id := os.Getenv("GANTRY_TEST_ID")
	spec := h.spec(id, count)
	spec.Log, spec.LogInfo.Path = "json-file", root+"/"+id+"-json.log"
	spec.LogInfo.Options = map[string]string{"max-size": "-1"}
	spec.Root, err = detachedRoot(h.rootfs)
	if err != nil {
		return err
	}
	if _, err := s.Start(context.Background(), spec); err != nil {
		return err
	}
	if _, err := s.Attach(context.Background(), id, "", output()); err != nil {
		return err
	}
	fmt.Println(spec.LogInfo.Path)
	select {} // until it is killed
}

func TestBothAreKilled(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	spec, path := h.logged(h.spec(id, "echo begun; while [ ! -e /tmp/stop ]; do sleep 0.01; done; exit 6"))
	h.mustStart(spec)
	h.awaitLog(path, "begun")
	pid := h.SupervisorPid()
	if err := exec.Command("kill", "-STOP", itoa(pid)).Run(); err != nil {
		t.Fatal(err)
	}
	// A gantryd that cannot ask the supervisor anything lets go of all it holds.
	short, cancel := context.WithCancel(ctx)
	cancel()
	_ = h.Close(short)
	killHard(t, pid)
	h.open()
	states, err := h.Tasks(ctx)
	if err != nil || len(states) != 1 || states[0].Exited != nil {
		t.Fatalf("tasks: %+v %v", states, err)
	}
	h.awaitLog(path, "output is lost")
	h.stopCounting(id)
	if e := h.exit(); e.Code != 6 {
		t.Errorf("exit: %+v", e)
	}
}

func TestUpgradeInPlace(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	spec, path := h.logged(h.spec(id, count))
	h.mustStart(spec)
	h.awaitLog(path, "line 100")
	pid := h.SupervisorPid()
	for range 3 {
		if err := h.Upgrade(ctx); err != nil {
			t.Fatal(err)
		}
		if now := h.SupervisorPid(); now != pid {
			t.Fatalf("supervisor was %d and is %d", pid, now)
		}
		before := size(t, path)
		h.until("the log to grow", func() bool { return size(t, path) > before })
	}
	h.stopCounting(id)
	if e := h.exit(); e.Code != 5 || e.Unknown {
		t.Errorf("exit: %+v", e)
	}
	checkCount(t, path, 0)
}

func TestSupervisorIsKilledDuringStart(t *testing.T) {
	for _, point := range []string{"supervisor.start.saved", "supervisor.start.launched"} {
		t.Run(point, func(t *testing.T) {
			h := newHostThatDiesAt(t, point)
			id := randomID(t)
			if _, err := h.start(h.spec(id, "sleep 1000")); !errdefs.IsUnavailable(err) {
				t.Fatalf("start: %v", err)
			}
			h.mustStart(h.spec(id, "exit 3"))
			if e := h.exit(); e.Code != 3 {
				t.Errorf("exit %+v", e)
			}
		})
	}
}

func TestSupervisorIsKilledDuringExit(t *testing.T) {
	for _, point := range []string{"supervisor.exit.seen", "supervisor.exit.recorded"} {
		t.Run(point, func(t *testing.T) {
			h := newHostThatDiesAt(t, point)
			id := randomID(t)
			st := h.mustStart(h.spec(id, "while [ ! -e /tmp/stop ]; do sleep 0.01; done; exit 3"))
			h.stopCounting(id)
			e := h.exit()
			if e.Run != st.Run || e.Code != 3 || e.Unknown {
				t.Errorf("exit %+v", e)
			}
		})
	}
}

// newHostThatDiesAt makes a host whose first supervisor is killed at a fault point.
func newHostThatDiesAt(t *testing.T, point string) *host {
	t.Setenv(fault.Env, point)
	h := newHost(t)
	if err := os.Unsetenv(fault.Env); err != nil {
		t.Fatal(err)
	}
	return h
}
