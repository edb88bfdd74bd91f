package integration

import (
	"os"
	"testing"

	"gantry/internal/testkit"
)

// limit reads a control file of the container's cgroup: v1 is CONTROLLER/FILE, v2 is one file.
func limit(v1, v2 string) string {
	if cgroupV2() {
		return "cat /sys/fs/cgroup/" + v2
	}
	return "cat /sys/fs/cgroup/" + v1
}

// byVersion chooses what a control file says.
func byVersion(v1, v2 string) string {
	if cgroupV2() {
		return v2
	}
	return v1
}

func TestRunFlagsThatLimitResources(t *testing.T) {
	runRows(t, []row{
		{"memory", []string{"-m", "64m"}, limit("memory/memory.limit_in_bytes", "memory.max"), "67108864"},
		{"memory reservation", []string{"--memory-reservation", "32m"},
			limit("memory/memory.soft_limit_in_bytes", "memory.low"), "33554432"},
		{"cpus", []string{"--cpus", "0.5"}, limit("cpu/cpu.cfs_quota_us", "cpu.max"), byVersion("50000", "50000 100000")},
		{"cpu quota and period", []string{"--cpu-quota", "20000", "--cpu-period", "40000"},
			limit("cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us", "cpu.max"), byVersion("20000\n40000", "20000 40000")},
		{"cpu shares", []string{"--cpu-shares", "512"}, limit("cpu/cpu.shares", "cpu.weight"), byVersion("512", "20")},
		{"cpuset", []string{"--cpuset-cpus", "0"}, limit("cpuset/cpuset.cpus", "cpuset.cpus") + "; nproc", "0\n1"},
		{"cpuset memory nodes", []string{"--cpuset-mems", "0"}, limit("cpuset/cpuset.mems", "cpuset.mems"), "0"},
		{"pids", []string{"--pids-limit", "50"}, limit("pids/pids.max", "pids.max"), "50"},
		{"pids unlimited", []string{"--pids-limit", "-1"}, limit("pids/pids.max", "pids.max"), "max"},
		{"shm size", []string{"--shm-size", "8m"}, "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2", "8192"},
		{"shm default", nil, "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2", "65536"},
	})
}

func TestMemorySwapIsLimited(t *testing.T) {
	t.Parallel()
	d := engine(t)
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"); err != nil && !cgroupV2() {
		t.Skip("kernel has no swap accounting")
	}
	equal(t, "memory and swap", sh(d, []string{"-m", "64m", "--memory-swap", "96m"},
		limit("memory/memory.memsw.limit_in_bytes", "memory.swap.max")), byVersion("100663296", "33554432"))
	equal(t, "twice the memory by default", sh(d, []string{"-m", "64m"},
		limit("memory/memory.memsw.limit_in_bytes", "memory.swap.max")), byVersion("134217728", "67108864"))
}

func TestOutOfMemoryIsReported(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("oom")
	r := d.CLI("run", "--name", name, "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", "tail /dev/zero")
	equal(t, "exit code", r.Code, 137)
	state := inspect(d, name).State
	equal(t, "OOMKilled", state.OOMKilled, true)
	equal(t, "exit code", state.ExitCode, 137)
}

func TestPidsLimitStopsForks(t *testing.T) {
	t.Parallel()
	d := engine(t)
	r := d.CLI("run", "--rm", "--pids-limit", "5", "busybox", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait")
	contains(t, "stderr", r.Stderr, "can't fork")
}

func TestCgroupParentHoldsTheContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	out := sh(d, []string{"--cgroupns", "host"}, "cat /proc/self/cgroup")
	contains(t, "cgroup", out, d.Parent+"/")
	out = sh(d, []string{"--cgroupns", "host", "--cgroup-parent", d.Parent + "/below"}, "cat /proc/self/cgroup")
	contains(t, "cgroup", out, d.Parent+"/below/")
	d.T.Cleanup(func() { removeEmpty(d, "below") })
}

// removeEmpty removes a parent cgroup that no engine removes, because no engine made it for a container.
func removeEmpty(d *testkit.Session, name string) {
	for _, dir := range d.Cgroups() {
		if len(dir) > len(name) && dir[len(dir)-len(name)-1:] == "/"+name {
			_ = os.Remove(dir)
		}
	}
}

func TestUpdateChangesLimitsOfARunningContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "-m", "64m", "--memory-swap", "64m", "--cpu-shares", "512")
	d.Docker("update", "-m", "96m", "--memory-swap", "128m", "--cpu-shares", "256", "--pids-limit", "77", "--restart", "on-failure:4", name)
	equal(t, "memory", d.Docker("exec", name, "sh", "-c", limit("memory/memory.limit_in_bytes", "memory.max")), "100663296")
	equal(t, "pids", d.Docker("exec", name, "sh", "-c", limit("pids/pids.max", "pids.max")), "77")
	equal(t, "cpu", d.Docker("exec", name, "sh", "-c", limit("cpu/cpu.shares", "cpu.weight")), byVersion("256", "10"))
	h := inspect(d, name).HostConfig
	equal(t, "memory", h.Memory, 96<<20)
	equal(t, "restart policy", string(h.RestartPolicy.Name), "on-failure")
	equal(t, "retries", h.RestartPolicy.MaximumRetryCount, 4)
}

func TestUpdateOfAStoppedContainerIsUsedAtTheNextStart(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("later")
	d.Docker("create", "--name", name, "busybox", "sh", "-c", limit("pids/pids.max", "pids.max"))
	d.Docker("update", "--pids-limit", "33", name)
	equal(t, "output", d.Docker("start", "-a", name), "33")
}
