package integration

import (
	"os"
	"strings"
	"testing"
)

// bounding is the set of capabilities that this machine can give: a container cannot have more.
func bounding(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatal("no CapBnd in /proc/self/status")
	return ""
}

func TestRunFlagsThatShapePrivilege(t *testing.T) {
	const effective = "grep CapEff /proc/self/status | cut -f2"
	runRows(t, []row{
		{"default capabilities", nil, effective, "00000000a80425fb"},
		{"no capabilities of other users", []string{"-u", "web"}, effective, "0000000000000000"},
		{"inheritable set is empty", nil, "grep CapInh /proc/self/status | cut -f2", "0000000000000000"},
		{"cap add", []string{"--cap-add", "NET_ADMIN", "--cap-add", "CAP_SYS_TIME"}, effective, "00000000aa0435fb"},
		{"cap drop", []string{"--cap-drop", "chown"}, effective, "00000000a80425fa"},
		{"cap drop all, add one", []string{"--cap-drop", "ALL", "--cap-add", "kill"}, effective, "0000000000000020"},
		{"seccomp by default", nil, "grep ^Seccomp: /proc/self/status | cut -f2", "2"},
		{"seccomp unconfined", []string{"--security-opt", "seccomp=unconfined"}, "grep ^Seccomp: /proc/self/status | cut -f2", "0"},
		{"no new privileges", []string{"--security-opt", "no-new-privileges"}, "grep ^NoNewPrivs /proc/self/status | cut -f2", "1"},
		{"new privileges by default", nil, "grep ^NoNewPrivs /proc/self/status | cut -f2", "0"},
		{"masked", nil, "cat /proc/timer_list | wc -c; ls /sys/firmware", "0"},
		{"unmasked", []string{"--security-opt", "systempaths=unconfined"}, "test $(cat /proc/timer_list | wc -c) -gt 0 && echo seen", "seen"},
		{"read-only proc", nil, "echo 1 2>/dev/null >/proc/sys/vm/drop_caches || echo refused", "refused"},
		{"device", []string{"--device", "/dev/zero:/dev/nought"}, "head -c 2 /dev/nought | od -An -tx1; ls -l /dev/nought | cut -c1-10", " 00 00\ncrw-rw-rw-"},
		{"device permissions", []string{"--device", "/dev/kmsg:/dev/log:w"}, "head -c 1 </dev/log >/dev/null 2>&1 || echo refused; echo x >/dev/log && echo written", "refused\nwritten"},
		{"device nodes may be made but not opened", nil, "mknod /tmp/x b 254 0 && (cat /tmp/x 2>&1 | sed 's/.*: //')", "Operation not permitted"},
		{"default devices", nil, "ls /dev | grep -v core | tr '\\n' ' '", "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "},
	})
}

func TestPrivilegedContainersHaveAllThatTheMachineCanGive(t *testing.T) {
	t.Parallel()
	d := engine(t)
	all := bounding(t)
	if d.Reference() && !strings.HasSuffix(all, "1ffffffffff") {
		t.Skip("the machine keeps capabilities back, and runc refuses then")
	}
	equal(t, "output", sh(d, []string{"--privileged"},
		"grep CapEff /proc/self/status | cut -f2; grep ^Seccomp: /proc/self/status | cut -f2; test -e /dev/kmsg && echo devices; "+
			"test -w /proc/sys/kernel/hostname && echo writable"), all+"\n0\ndevices\nwritable")
}

func TestSeccompProfileOfTheUser(t *testing.T) {
	t.Parallel()
	d := engine(t)
	profile := t.TempDir() + "/profile.json"
	const text = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}`
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := d.CLI("run", "--rm", "--security-opt", "seccomp="+profile, "busybox", "mkdir", "/x")
	equal(t, "exit code", r.Code, 1)
	contains(t, "stderr", r.Stderr, "Operation not permitted")
}

func TestBadSecurityOptionsAreRefused(t *testing.T) {
	t.Parallel()
	d := engine(t)
	d.Fails(125, []string{`invalid --security-opt 2: "nosuch=1"`}, "run", "--rm", "--security-opt", "nosuch=1", "busybox", "true")
	d.Fails(125, []string{"NOSUCH"}, "run", "--rm", "--cap-add", "NOSUCH", "busybox", "true")
}

func TestOnlyStandardDescriptorsAreInherited(t *testing.T) {
	t.Parallel()
	// ls has its own descriptor of the directory: 3.
	equal(t, "descriptors", sh(engine(t), nil, "ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ")
}
