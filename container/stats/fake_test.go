package stats

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"gantry/container/record"

	"github.com/containerd/errdefs"
)

const containerID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// fakeHost makes a host of files: names are relative to its root, which has proc and cgroup.
func fakeHost(t *testing.T, files map[string]string) *host {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{
		"proc/meminfo":        "MemTotal:       16384 kB\nMemFree: 1 kB\n",
		"proc/stat":           "cpu  10 20 30 40 50 60 70 80 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu1 1 2 3 4 5 6 7 8 0 0\nintr 1\nbtime 1\n",
		"proc/uptime":         "1000.00 1.00\n",
		"proc/7/net/dev":      "Inter-|   Receive\n face |bytes\n    lo: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n  eth0: 100 2 3 4 0 0 0 0 500 6 7 8 0 0 0 0\n",
		"proc/self/mountinfo": "20 1 0:1 / " + root + "/nothing rw - tmpfs tmpfs rw\n",
	}
	maps.Copy(all, files)
	all["proc/self/mountinfo"] = replaceRoot(all["proc/self/mountinfo"], root)
	for name, content := range all {
		write(t, filepath.Join(root, name), content)
	}
	for pid, ns := range map[string]string{"self": "net:[1]", "7": "net:[2]"} {
		link := filepath.Join(root, "proc", pid, "ns/net")
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(ns, link); err != nil {
			t.Fatal(err)
		}
	}
	h, err := openHost(filepath.Join(root, "proc"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func replaceRoot(s, root string) string {
	return os.Expand(s, func(string) string { return root })
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// unifiedFiles is a container on a host with cgroup v2. Its init has moved to a group of its own below.
func unifiedFiles() map[string]string {
	g := "cgroup/system.slice/docker-" + containerID + ".scope/"
	return map[string]string{
		"proc/self/mountinfo":         "20 1 0:1 / $root/cgroup rw shared:1 - cgroup2 cgroup2 rw\n",
		"proc/7/cgroup":               "0::/system.slice/docker-" + containerID + ".scope/init.scope\n",
		g + "cpu.stat":                "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2\n",
		g + "memory.current":          "4096\n",
		g + "memory.max":              "max\n",
		g + "memory.stat":             "anon 1024\nfile 2048\ninactive_file 512\n",
		g + "memory.events":           "low 0\noom 2\noom_kill 1\n",
		g + "pids.current":            "3\n",
		g + "pids.max":                "max\n",
		g + "io.stat":                 "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n254:1 rbytes=0 wbytes=5 rios=0 wios=1\n",
		g + "cgroup.procs":            "",
		g + "init.scope/cgroup.procs": "7\n",
		g + "a/b/cgroup.procs":        "9\n8\n",
	}
}

// legacyFiles is a container on a host with cgroup v1.
func legacyFiles() map[string]string {
	files := map[string]string{
		"proc/self/mountinfo": "20 1 0:1 / $root/cgroup/memory rw - cgroup cgroup rw,memory\n" +
			"21 1 0:1 / $root/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
			"22 1 0:1 / $root/cgroup/blkio rw - cgroup cgroup rw,blkio\n" +
			"23 1 0:1 / $root/cgroup/pids rw - cgroup cgroup rw,pids\n" +
			"24 1 0:1 / $root/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		"proc/7/cgroup": "9:memory:/docker/" + containerID + "\n8:cpu,cpuacct:/docker/" + containerID + "\n7:blkio:/docker/" + containerID +
			"\n6:pids:/docker/" + containerID + "\n1:name=systemd:/docker/" + containerID + "\n0::/\n",
	}
	for name, content := range map[string]string{
		"memory/memory.stat":                         "cache 100\nrss 200\ntotal_cache 300\nhierarchical_memory_limit 9223372036854771712\n",
		"memory/memory.usage_in_bytes":               "4096\n",
		"memory/memory.max_usage_in_bytes":           "8192\n",
		"memory/memory.failcnt":                      "2\n",
		"memory/memory.limit_in_bytes":               "1048576\n",
		"cpu,cpuacct/cpuacct.usage":                  "5000\n",
		"cpu,cpuacct/cpuacct.usage_percpu":           "3000 2000 \n",
		"cpu,cpuacct/cpuacct.stat":                   "user 3\nsystem 2\n",
		"cpu,cpuacct/cpu.stat":                       "nr_periods 4\nnr_throttled 3\nthrottled_time 2\n",
		"blkio/blkio.bfq.io_service_bytes_recursive": "Total 0\n",
		"blkio/blkio.throttle.io_service_bytes":      "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n",
		"pids/pids.current":                          "3\n",
		"pids/pids.max":                              "100\n",
		"pids/cgroup.procs":                          "7\n8\n",
		"pids/child/cgroup.procs":                    "9\n",
	} {
		hierarchy, file := filepath.Split(name)
		if filepath.Base(filepath.Clean(hierarchy)) == "child" {
			hierarchy, file = "pids/", "child/cgroup.procs"
		}
		files["cgroup/"+hierarchy+"docker/"+containerID+"/"+file] = content
	}
	return files
}

// fakeContainers is a lookup of containers by ID.
type fakeContainers map[string]*record.Container

func (f fakeContainers) lookup(ref string) (*record.Container, error) {
	if r := f[ref]; r != nil {
		return r, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
}

func runningContainer() *record.Container {
	return &record.Container{ID: containerID, Name: "web", State: record.State{Status: record.Running, Pid: 7}}
}
