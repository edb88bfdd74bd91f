package task_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/task"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// condition tells what a process is made of, but for what differs from one process to the next.
const condition = `grep -E '^(Uid|Gid|Groups|Umask|Cap|NoNewPrivs|Seccomp|SigBlk|SigIgn|SigCgt)' /proc/self/status
cat /proc/self/limits /proc/self/cgroup
cd -P . && pwd; env | sort
for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done
ls /proc/self/fd; readlink /proc/self/root`

// TestEnteredProcessesAreLikeTheRuntimes: a process that is started without the runtime is in every respect what the
// runtime makes of it.
func TestEnteredProcessesAreLikeTheRuntimes(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"grep", "cut", "env", "sort", "readlink"} {
		if err := os.Symlink("busybox", filepath.Join(h.rootfs, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	id, score, mask := randomID(t), 300, uint32(0o27)
	spec := h.spec(id, "")
	spec.OCI = withProfile(t, h, id)
	spec.OCI.Process.OOMScoreAdj = &score
	h.mustStart(spec)
	some := &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}, Effective: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}}
	own, err := os.ReadFile("/proc/" + itoa(h.SupervisorPid()) + "/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]specs.Process{
		"root":   {Cwd: "/tmp", Env: []string{"PATH=/bin", "HOME=/", "A=b c"}, Capabilities: some, OOMScoreAdj: &score},
		"nobody": {Cwd: "/", Env: []string{"PATH=/none:/bin", "HOME=/"}, Capabilities: some, User: specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{7, 9}, Umask: &mask}},
		"bound": {
			Cwd: "/", Env: []string{"PATH=/bin", "HOME=/"}, Capabilities: &specs.LinuxCapabilities{}, NoNewPrivileges: true,
			Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_CORE"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p.Args = []string{"sh", "-c", condition}
			entered := h.run(t, id, p)
			p.ExecCPUAffinity = &specs.CPUAffinity{} // says nothing, and is not known to those who enter
			asked := h.run(t, id, p)
			if entered != asked {
				t.Errorf("entered:\n%s\nby the runtime:\n%s", entered, asked)
			}
			if !strings.Contains(entered, "Seccomp:\t2") {
				t.Errorf("not confined:\n%s", entered)
			}
		})
	}
	p := specs.Process{Args: []string{"sh", "-c", "cat /proc/self/oom_score_adj; cut -d' ' -f 1,6 /proc/$$/stat"}, Cwd: "/", Env: []string{"PATH=/bin"}, Capabilities: some, OOMScoreAdj: &score}
	said := strings.Fields(h.run(t, id, p))
	if len(said) != 3 || said[0] != "300" || said[1] != said[2] { // which crun forgets
		t.Errorf("OOM score, process and session: %s", said)
	}
	now, err := os.ReadFile("/proc/" + itoa(h.SupervisorPid()) + "/oom_score_adj")
	if err != nil || string(now) != string(own) {
		t.Errorf("the supervisor's OOM score has become %s, from %s: %v", now, own, err)
	}
}

// run executes a process to its end and returns what it said.
func (h *host) run(t *testing.T, id string, p specs.Process) string {
	t.Helper()
	execID := randomID(t)
	if _, err := h.Exec(context.Background(), id, execID, &p, task.Process{}); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := demultiplex(t, h.attach(id, execID, output()))
	receive(t, h.execs, "exit")
	return stdout + stderr
}
