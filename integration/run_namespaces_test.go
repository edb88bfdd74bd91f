package integration

import (
	"strings"
	"testing"
)

// link is the identity of a namespace as the engine's own processes see it.
func TestRunFlagsThatShareNamespaces(t *testing.T) {
	t.Parallel()
	d := engine(t)
	neighbour := up(d, "--ipc", "shareable", "--hostname", "neighbour")
	host := func(ns string) string {
		out, err := d.Namespaces().Run("readlink", "/proc/self/ns/"+ns)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	other := func(ns string) string { return d.Docker("exec", neighbour, "readlink", "/proc/self/ns/"+ns) }
	for _, c := range []struct{ name, flag, ns, want string }{
		{"ipc host", "--ipc=host", "ipc", host("ipc")},
		{"ipc container", "--ipc=container:" + neighbour, "ipc", other("ipc")},
		{"pid host", "--pid=host", "pid", host("pid")},
		{"pid container", "--pid=container:" + neighbour, "pid", other("pid")},
		{"uts host", "--uts=host", "uts", host("uts")},
		{"network host", "--network=host", "net", host("net")},
		{"network container", "--network=container:" + neighbour, "net", other("net")},
	} {
		t.Run(c.name, func(t *testing.T) {
			equal(t, "namespace", sh(d.With(t), []string{c.flag}, "readlink /proc/self/ns/"+c.ns), c.want)
		})
	}
	t.Run("all are private by default", func(t *testing.T) {
		d := d.With(t)
		for _, ns := range []string{"ipc", "pid", "uts", "net", "mnt"} {
			if got := sh(d, nil, "readlink /proc/self/ns/"+ns); got == host(ns) || got == other(ns) {
				t.Errorf("the %s namespace is shared", ns)
			}
		}
	})
	t.Run("network container shares its files", func(t *testing.T) {
		out := sh(d.With(t), []string{"--network=container:" + neighbour}, "hostname; cat /etc/hostname")
		equal(t, "hostname", out, "neighbour\nneighbour")
	})
	t.Run("ipc private cannot be joined", func(t *testing.T) {
		d := d.With(t)
		private := up(d, "--ipc", "private")
		d.Fails(125, []string{"non-shareable IPC"}, "run", "--rm", "--ipc=container:"+private, "busybox", "true")
	})
	t.Run("ipc none has no shm", func(t *testing.T) {
		equal(t, "mounts of /dev/shm", sh(d.With(t), []string{"--ipc=none"}, "grep -c ' /dev/shm ' /proc/mounts || true"), "0")
	})
	t.Run("shm is shared with the ipc namespace", func(t *testing.T) {
		d := d.With(t)
		d.Docker("exec", neighbour, "sh", "-c", "echo shared >/dev/shm/f")
		equal(t, "file", sh(d, []string{"--ipc=container:" + neighbour}, "cat /dev/shm/f"), "shared")
	})
}

func TestCgroupNamespace(t *testing.T) {
	t.Parallel()
	d := engine(t)
	private := sh(d, []string{"--cgroupns", "private"}, "cat /proc/self/cgroup")
	for line := range strings.Lines(private) {
		if path := strings.TrimSpace(line[strings.LastIndex(line, ":")+1:]); path != "/" && !strings.Contains(line, "0::") {
			t.Errorf("the container sees the path of its cgroup: %s", line)
		}
	}
	contains(t, "host cgroup namespace", sh(d, []string{"--cgroupns", "host"}, "cat /proc/self/cgroup"), d.Parent)
}

func TestNamespacesOfMissingContainers(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, flag := range []string{"--pid", "--ipc", "--network"} {
		d.Fails(125, []string{"No such container: nosuch"}, "run", "--rm", flag, "container:nosuch", "busybox", "true")
	}
	stopped := d.Name("stopped")
	d.Docker("create", "--name", stopped, "busybox", "true")
	d.Fails(125, []string{"cannot join network of a non running container"}, "run", "--rm", "--network", "container:"+stopped, "busybox", "true")
}

func TestNetworkModesConflictWithOtherFlags(t *testing.T) {
	t.Parallel()
	d := engine(t)
	neighbour := up(d)
	join := "--network=container:" + neighbour
	for _, c := range []struct {
		text string
		args []string
	}{
		{"conflicting options: hostname and the network mode", []string{join, "--hostname", "x"}},
		{"conflicting options: port publishing and the container type network mode", []string{join, "-p", "80"}},
		{"conflicting options: port exposing and the container type network mode", []string{join, "--expose", "80"}},
		{"conflicting options: dns and the network mode", []string{join, "--dns", "1.1.1.1"}},
		{"conflicting options: custom host-to-IP mapping and the network mode", []string{join, "--add-host", "a:1.1.1.1"}},
		{"conflicting options: hostname and the UTS mode", []string{"--uts=host", "--hostname", "x"}},
	} {
		d.Fails(125, []string{c.text}, append(append([]string{"run", "--rm"}, c.args...), "busybox", "true")...)
	}
}
