package spec_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gantry/container/record"
	"gantry/container/spec"
	"gantry/security"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// run gives a specification to the real runtime, in namespaces of its own, and returns what
// the container's script printed. The root is a static busybox.
func run(t *testing.T, script string, change func(*spec.Input)) string {
	t.Helper()
	for _, program := range []string{"crun", "busybox", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("machine has no " + program)
		}
	}
	bundle := t.TempDir()
	in := plain()
	in.Record.Path, in.Record.Args = "/bin/sh", []string{"-c", script}
	in.Daemon.Capabilities, in.Daemon.Host = nil, spec.Host{}
	in.Netns = "/proc/self/ns/net" // that of unshare below: no container touches the machine's
	in.Hosts, in.Hostname, in.ResolvConf = "", "", ""
	confine, err := security.Open(t.Context(), security.Config{})
	if err != nil {
		t.Fatal(err)
	}
	in.Daemon.Seccomp = func(s *specs.Spec) (*specs.LinuxSeccomp, error) {
		return confine.Seccomp("", in.Record.HostConfig.Privileged, s)
	}
	in.Daemon.Program = confine.Program
	makeRoot(t, filepath.Join(bundle, "rootfs"))
	change(&in)
	built, _, err := spec.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(built)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	id := "spec-test-" + filepath.Base(filepath.Dir(bundle))
	// crun 1.8 refuses a host with both versions of cgroups, so the newer one is hidden from it.
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "-n", "sh", "-c",
		`cd /sys/fs/cgroup/unified 2>/dev/null && mount -t tmpfs none . ; exec crun --cgroup-manager=disabled "$@"`,
		"sh", "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, id)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, stderr.String(), out)
	}
	return string(out)
}

func makeRoot(t *testing.T, root string) {
	t.Helper()
	for _, dir := range []string{"bin", "etc", "proc", "sys", "dev", "data/deep", "tmp", "sbin", "ro", "nonrec", "scratch"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range []string{"sh", "cat", "mount", "id", "ls", "grep", "hostname", "touch", "umask", "stat"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
}

func expect(t *testing.T, out string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+out, "\n"+line) {
			t.Errorf("no line %q in:\n%s", line, out)
		}
	}
}

func TestRuntimeAcceptsAPlainContainer(t *testing.T) {
	out := run(t, `hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ip_forward
cat /proc/self/oom_score_adj; grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status; echo home $HOME; umask
cat /proc/interrupts | grep CPU0; touch /sys/x /proc/sys/kernel/x 2>&1 | grep -c Read-only; id`,
		func(in *spec.Input) {
			h := in.Record.HostConfig
			h.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
			h.OomScoreAdj, h.Umask = 300, ptr(uint32(0o27))
			in.Record.Config.Domainname, in.Record.NoNewPrivs = "example.org", true
			in.User = specs.User{UID: 12, GID: 13, AdditionalGids: []uint32{13, 14}}
		})
	expect(t, out, "0123456789ab", "example.org", "0\n1\n300\n", "CapInh:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t00000000a80425fb", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "home /root", "0027", "uid=12 gid=13 groups=13,14")
	if strings.Contains(out, "CPU0") {
		t.Error("a masked path can be read")
	}
}

func TestRuntimeAcceptsEveryKindOfMount(t *testing.T) {
	host := t.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("sub", filepath.Join(host, "sub"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(host, "sub"), unix.MNT_DETACH) })
	out := run(t, `touch /ro/a /ro/sub/a /nonrec/sub/a 2>&1; touch /data/deep/x && echo volume ok; touch /scratch/x && echo tmpfs ok
grep -E ' /(scratch|dev/shm) ' /proc/mounts; stat -c %a /scratch; touch /x; ls /nonrec/sub; touch /dev/shm/x && echo shm ok`,
		func(in *spec.Input) {
			in.Record.HostConfig.ReadonlyRootfs = true
			in.Mounts = []spec.Mount{
				{Source: host, MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/ro", Propagation: "rprivate"}},
				{Source: host, MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/nonrec", Spec: mount.Mount{
					BindOptions: &mount.BindOptions{ReadOnlyNonRecursive: true}}}},
				{Source: t.TempDir(), MountPoint: record.MountPoint{Type: mount.TypeVolume, Destination: "/data/deep", RW: true}},
				{MountPoint: record.MountPoint{Type: mount.TypeTmpfs, Destination: "/scratch", RW: true, Spec: mount.Mount{
					TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1770}}}},
			}
			in.Record.HostConfig.ShmSize = 2 << 20
		})
	expect(t, out, "touch: /ro/a: Read-only", "touch: /ro/sub/a: Read-only", "volume ok", "tmpfs ok", "1770", "shm ok", "a\n")
	if !strings.Contains(out, "size=1024k") || !strings.Contains(out, "size=2048k") {
		t.Errorf("sizes are not in:\n%s", out)
	}
}

func TestRuntimeAcceptsAPrivilegedContainer(t *testing.T) {
	out := run(t, `ls -l /dev/null /dev/nothing | cat; grep -E 'CapEff|Seccomp:' /proc/self/status; grep -E ' /(sys|sys/fs/cgroup) ' /proc/mounts; grep -c CPU0 /proc/interrupts`,
		func(in *spec.Input) {
			in.Record.HostConfig.Privileged = true
			in.Record.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/null", PathInContainer: "/dev/nothing"}}
		})
	expect(t, out, "crw-rw-rw-", "Seccomp:\t0", "sysfs /sys sysfs rw", "cgroup /sys/fs/cgroup tmpfs rw", "1\n")
}
