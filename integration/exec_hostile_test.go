package integration

import (
	"os"
	"strings"
	"testing"
)

// TestExecInheritsNothing: descriptors of the host would lead out of the container (CVE-2024-21626).
func TestExecInheritsNothing(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	for _, flags := range [][]string{nil, {"-i"}, {"--privileged"}} {
		args := append(append([]string{"exec"}, flags...), name, "ls", "/proc/self/fd")
		equal(t, "descriptors", d.Docker(args...), "0\n1\n2\n3") // 3: the directory that is listed
	}
	term := d.PTY("exec", "-it", name, "ls", "-C", "/proc/self/fd")
	term.Expect("0  1  2  3")
	term.Wait()
}

// TestExecStaysInside: with the host's processes in sight, a working directory can name another root.
func TestExecStaysInside(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "--pid", "host")
	outside := d.CLI("exec", "-w", "/proc/1/cwd", name, "pwd")
	if outside.Code == 0 || strings.Contains(outside.Stdout, "/") {
		t.Errorf("exec ran outside of the container: %q", outside.Stdout)
	}
	equal(t, "inside", d.Docker("exec", "-w", "/tmp", name, "pwd"), "/tmp")
}

// TestExecTrustsNoMultiplexer: the container chooses what is at /dev/pts/ptmx.
func TestExecTrustsNoMultiplexer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	if d.Reference() {
		t.Skip("dockerd 20.10 trusts it")
	}
	file := d.Path("ptmx-" + d.Name("f"))
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	name := up(d, "-v", file+":/dev/pts/ptmx")
	term := d.PTY("exec", "-it", name, "true")
	term.Expect("is not a terminal multiplexer")
	if term.Wait() == 0 {
		t.Error("exec has run")
	}
}

// TestExecLimits: a process that is started later has the limits of the first one.
func TestExecLimits(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "--ulimit", "nofile=123:456", "--ulimit", "core=0:0", "--oom-score-adj", "500", "--cpus", "0.5", "--security-opt", "no-new-privileges")
	equal(t, "soft limit", d.Docker("exec", name, "sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status | cut -f2"), "123\n456\n0\n500\n1")
}

// TestExecWhereProcessesCanTrace: such a container is left to its runtime, and works the same.
func TestExecWhereProcessesCanTrace(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "--cap-add", "SYS_PTRACE")
	equal(t, "output", d.Docker("exec", name, "echo", "here"), "here")
	r := d.CLI("exec", name, "nope")
	equal(t, "exit code", r.Code, 127)
	contains(t, "answer", r.Stdout+r.Stderr, `exec: "nope": executable file not found in $PATH`)
}
