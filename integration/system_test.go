package integration

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gantry/internal/testkit"

	"github.com/moby/moby/client"
)

func TestInfo(t *testing.T) {
	t.Parallel()
	d := engine(t)
	r, err := d.Client().Info(d.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i := r.Info
	equal(t, "root", i.DockerRootDir, d.DataRoot())
	equal(t, "OS type", i.OSType, "linux")
	equal(t, "architecture", i.Architecture, "x86_64")
	equal(t, "CPUs", i.NCPU, runtime.NumCPU())
	equal(t, "default log driver", i.LoggingDriver, "json-file")
	equal(t, "memory limit", i.MemoryLimit, true)
	equal(t, "pids limit", i.PidsLimit, true)
	equal(t, "CPU set", i.CPUSet, true)
	equal(t, "swarm", string(i.Swarm.LocalNodeState), "inactive")
	equal(t, "cgroup driver", i.CgroupDriver, "cgroupfs")
	if cgroupV2() {
		equal(t, "cgroup version", i.CgroupVersion, "2")
	} else {
		equal(t, "cgroup version", i.CgroupVersion, "1")
	}
	var uname []byte
	if uname, err = os.ReadFile("/proc/sys/kernel/osrelease"); err != nil {
		t.Fatal(err)
	}
	equal(t, "kernel", i.KernelVersion, strings.TrimSpace(string(uname)))
	if i.ID == "" || i.Name == "" || i.MemTotal == 0 || i.Driver == "" || len(i.DriverStatus) == 0 || i.OperatingSystem == "" || i.ServerVersion == "" ||
		i.NGoroutines == 0 || i.NFd == 0 || i.SystemTime == "" || i.RegistryConfig == nil || i.Images == 0 {
		t.Errorf("info %+v", i)
	}
	for _, want := range []string{"json-file", "local", "none"} {
		equal(t, "log driver "+want, slices.Contains(i.Plugins.Log, want), want != "none")
	}
	for _, want := range []string{"bridge", "host", "null"} {
		equal(t, "network driver "+want, slices.Contains(i.Plugins.Network, want), true)
	}
	equal(t, "volume driver", slices.Contains(i.Plugins.Volume, "local"), true)
	equal(t, "seccomp", slices.ContainsFunc(i.SecurityOptions, func(s string) bool { return strings.HasPrefix(s, "name=seccomp,profile=") }), true)
	if d.Reference() {
		return
	}
	equal(t, "seccomp profile", slices.Contains(i.SecurityOptions, "name=seccomp,profile=builtin"), true)
	equal(t, "the default runtime is listed", func() bool { _, ok := i.Runtimes[i.DefaultRuntime]; return ok }(), true)
	if i.Containerd != nil {
		t.Errorf("containerd %+v", i.Containerd)
	}
	engineID, err := os.ReadFile(d.DataRoot() + "/engine-id")
	equal(t, "ID", i.ID, strings.TrimSpace(string(engineID)))
	if err != nil {
		t.Error(err)
	}
}

func TestInfoCountsContainers(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	a, b := d.Docker("run", "-d", "busybox", "sleep", "1000"), d.Docker("run", "-d", "busybox", "sleep", "1000")
	c := d.Docker("create", "busybox")
	for _, id := range []string{a, b, c} {
		d.Remove(id)
	}
	d.Docker("pause", b)
	r, err := d.Client().Info(d.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "containers", r.Info.Containers, 3)
	equal(t, "running", r.Info.ContainersRunning, 1)
	equal(t, "paused", r.Info.ContainersPaused, 1)
	equal(t, "stopped", r.Info.ContainersStopped, 1)
	equal(t, "images", r.Info.Images, 1)

	df := d.Docker("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}")
	equal(t, "system df", df, "Images 1 1\nContainers 3 2\nLocal Volumes 0 0\nBuild Cache 0 0")
	d.Docker("rm", "-f", a, b)
	out := d.Docker("system", "prune", "-f")
	contains(t, "system prune", out, "Deleted Containers:\n"+c, "Total reclaimed space:")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	d := engine(t)
	r, err := d.Client().ServerVersion(d.Context(), client.ServerVersionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Version == "" || r.APIVersion == "" || r.Os != "linux" || r.Arch != "amd64" || len(r.Components) < 2 || r.Components[0].Name != "Engine" {
		t.Errorf("version %+v", r)
	}
	contains(t, "docker version", d.Docker("version"), "Client:", "Server:", "Engine:")
	contains(t, "docker info", d.Docker("info"), "Server:", "Storage Driver:", "Cgroup Driver:")
}

func TestInfoOfTheCLIHasNoErrors(t *testing.T) {
	t.Parallel()
	d := engine(t)
	r := d.CLI("info")
	equal(t, "exit code", r.Code, 0)
	if strings.Contains(r.Stderr, "ERROR") {
		t.Errorf("stderr %s", r.Stderr)
	}
}

func TestSubsystemsThatHaveNotLanded(t *testing.T) {
	t.Parallel()
	d := engine(t)
	gantryOnly(t, d, "missing subsystems")
	for _, c := range []struct{ method, path string }{
		{"GET", "/services"}, {"GET", "/nodes"}, {"POST", "/build"}, {"GET", "/plugins"}, {"POST", "/images/create?fromImage=busybox"},
	} {
		resp, body := request(d, c.method, c.path, "")
		if resp.StatusCode == 501 && !strings.Contains(body, `{"message":"`) {
			t.Errorf("%s: %s", c.path, body)
		}
		if resp.StatusCode == 404 && strings.Contains(body, "page not found") {
			t.Errorf("%s %s is unknown", c.method, c.path)
		}
	}
}

func TestContextOfAClientThatLeavesEndsTheRequest(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	ctx, cancel := context.WithCancel(d.Context())
	r, err := d.Client().ContainerLogs(ctx, name, client.ContainerLogsOptions{ShowStdout: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = r.Close()
	equal(t, "the engine answers", d.CLI("version").Code, 0)
}
