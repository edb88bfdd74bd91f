package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a directory with files, by name; a name that ends in / is a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// minimal is what every tree has: procfs with a mount table and the namespaces.
func minimal(mounts string, more map[string]string) map[string]string {
	files := map[string]string{
		"proc/self/mountinfo":       mounts,
		"proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
		"proc/meminfo":              "MemTotal:       16384 kB\nMemFree: 1 kB\n",
		"proc/self/uid_map":         "         0          0 4294967295\n",
		"proc/filesystems":          "nodev\tsysfs\nnodev\toverlay\n\text4\n",
	}
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts", "pid_for_children"} {
		files["proc/self/ns/"+kind] = ""
	}
	for name, content := range more {
		files[name] = content
	}
	return files
}

func read(t *testing.T, files map[string]string) *Host {
	t.Helper()
	h, err := Open(context.Background(), Config{Root: tree(t, files)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const (
	mounts1 = `30 22 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:32 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
34 30 0:35 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
35 30 0:36 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
`
	unified = "40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	mounts2 = "30 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
)

var files1 = map[string]string{
	"sys/fs/cgroup/cpu,cpuacct/cpu.shares":            "1024",
	"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":      "-1",
	"sys/fs/cgroup/memory/memory.limit_in_bytes":      "0",
	"sys/fs/cgroup/memory/memory.oom_control":         "0",
	"sys/fs/cgroup/memory/memory.swappiness":          "60",
	"sys/fs/cgroup/memory/memory.soft_limit_in_bytes": "0",
}

func TestVersion1(t *testing.T) {
	h := read(t, minimal(mounts1, files1))
	if h.Cgroups.Version != 1 || h.Cgroups.Hybrid {
		t.Errorf("version %d, hybrid %v", h.Cgroups.Version, h.Cgroups.Hybrid)
	}
	if got := strings.Join(h.Cgroups.Names(), " "); got != "cpu cpuacct devices memory pids" {
		t.Errorf("controllers %s", got)
	}
	want := Limits{Memory: true, MemoryReservation: true, Swappiness: true, OomKillDisable: true, CPUShares: true, CPUCfs: true, Pids: true}
	if h.Limits != want {
		t.Errorf("limits %+v, want %+v", h.Limits, want)
	}
	warnings := strings.Join(h.Limits.Warnings(1), "\n")
	if warnings != "WARNING: No swap limit support\nWARNING: No cpuset support" {
		t.Errorf("warnings:\n%s", warnings)
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	if h.CgroupnsMode() != "host" {
		t.Error("cgroup namespace is private by default")
	}
}

func TestHybridLimitsByVersion1(t *testing.T) {
	h := read(t, minimal(mounts1+unified, files1))
	if h.Cgroups.Version != 1 || !h.Cgroups.Hybrid || filepath.Base(h.Cgroups.Unified) != "unified" {
		t.Errorf("%+v", h.Cgroups)
	}
}

func TestVersion2(t *testing.T) {
	h := read(t, minimal(mounts2, map[string]string{
		"sys/fs/cgroup/cgroup.controllers":           "cpuset cpu io memory hugetlb pids\n",
		"sys/fs/cgroup/system.slice/memory.swap.max": "max",
	}))
	if h.Cgroups.Version != 2 || h.Cgroups.Hybrid {
		t.Errorf("version %d, hybrid %v", h.Cgroups.Version, h.Cgroups.Hybrid)
	}
	want := Limits{Memory: true, MemoryReservation: true, Swap: true, CPUShares: true, CPUCfs: true, CPUSet: true, Pids: true,
		BlkioThrottle: true, Hugetlb: true}
	if h.Limits != want {
		t.Errorf("limits %+v, want %+v", h.Limits, want)
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	if h.CgroupnsMode() != "private" {
		t.Error("cgroup namespace is not private by default")
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	files := minimal("30 22 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", map[string]string{"proc/sys/kernel/osrelease": "4.19.0"})
	delete(files, "proc/self/ns/net")
	err := read(t, files).Check()
	if err == nil {
		t.Fatal("nothing is missing")
	}
	for _, want := range []string{"the kernel is 4.19.0", "no net namespaces", "devices cgroup isn't mounted"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if err := read(t, minimal("", nil)).Check(); err == nil || !strings.Contains(err.Error(), "no control groups are mounted") {
		t.Errorf("without cgroups: %v", err)
	}
}

func TestFacts(t *testing.T) {
	h := read(t, minimal(mounts2, map[string]string{
		"etc/os-release":               "ID=x\nPRETTY_NAME=\"Some \\\"OS\\\" 3\"\nVERSION_ID='3.1'\n",
		"proc/sys/net/ipv4/ip_forward": "1\n",
		"proc/self/status":             "Name:\tx\nCapEff:\t000001ffffffffff\n",
		"proc/sys/fs/nr_open":          "1048576\n",
	}))
	if h.Kernel != (Kernel{"6.1.0-18-amd64", 6, 1}) || !h.Kernel.AtLeast(5, 12) || h.Kernel.AtLeast(6, 2) {
		t.Errorf("kernel %+v", h.Kernel)
	}
	if h.Memory != 16<<20 {
		t.Errorf("memory %d", h.Memory)
	}
	if h.OS != (OS{`Some "OS" 3`, "3.1"}) {
		t.Errorf("OS %+v", h.OS)
	}
	if !h.Overlay || !h.IPv4Forwarding() || h.UserNS || h.Rootless {
		t.Errorf("overlay %v, forwarding %v, user namespace %v, rootless %v", h.Overlay, h.IPv4Forwarding(), h.UserNS, h.Rootless)
	}
	if h.Ceilings != (Ceilings{SysResource: true, Nofile: 1048576, MinOOMScore: -1000}) {
		t.Errorf("ceilings %+v", h.Ceilings)
	}
}

func TestRootlessIsRecognised(t *testing.T) {
	files := minimal(mounts2, map[string]string{"proc/self/uid_map": "0 1000 1\n1 100000 65536\n"})
	if h := read(t, files); !h.UserNS || !h.Rootless {
		t.Errorf("user namespace %v, rootless %v", h.UserNS, h.Rootless)
	}
}

func TestCeilingsWithoutTheCapability(t *testing.T) {
	files := minimal(mounts2, map[string]string{
		"proc/self/status":        "CapEff:\t000001fffeffffff\n",
		"proc/self/oom_score_adj": "200\n",
	})
	if c := read(t, files).Ceilings; c.SysResource || c.MinOOMScore != 200 {
		t.Errorf("%+v", c)
	}
}

func TestRaiseSetsTheKeyQuota(t *testing.T) {
	root := tree(t, minimal(mounts2, map[string]string{
		"proc/sys/kernel/keys/root_maxkeys":  "200\n",
		"proc/sys/kernel/keys/root_maxbytes": "20000\n",
		"proc/sys/kernel/threads-max":        "100000\n",
		"proc/self/oom_score_adj":            "0\n",
	}))
	h, err := Open(t.Context(), Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Raise(t.Context(), -500); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"proc/sys/kernel/keys/root_maxkeys": "1000000", "proc/sys/kernel/keys/root_maxbytes": "25000000", "proc/self/oom_score_adj": "-500",
	} {
		if got, _ := os.ReadFile(filepath.Join(root, name)); string(got) != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestThisHost(t *testing.T) {
	h, err := Open(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if h.Memory == 0 || h.CPUs == 0 || h.Kernel.Major == 0 || h.Hostname == "" || h.Architecture == "" || h.OS.Name == "" {
		t.Errorf("%+v", h)
	}
	if err := h.Check(); err != nil {
		t.Errorf("containers run on this host, yet: %v", err)
	}
}
