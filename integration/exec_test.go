package integration

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

func TestExecFlags(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "-e", "A=container", "-w", "/var", "--hostname", "h")
	for _, c := range []struct {
		name  string
		flags []string
		sh    string
		want  string
	}{
		{"inherits", nil, "echo $A $PWD $(id -u) $HOME", "container /var 0 /root"},
		{"env", []string{"-e", "A=exec", "-e", "B=2"}, "echo $A $B", "exec 2"},
		{"workdir", []string{"-w", "/tmp"}, "pwd", "/tmp"},
		{"user", []string{"-u", "web"}, "id -u; id -g; echo $HOME", "1000\n1000\n/home/web"},
		{"user's groups", []string{"-u", "web"}, "id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '", "29 50 1000 "},
		{"user and group", []string{"-u", "1:50"}, "id -u; id -g", "1\n50"},
		{"no capabilities of other users", []string{"-u", "web"}, "grep CapEff /proc/self/status | cut -f2", "0000000000000000"},
		{"capabilities", nil, "grep CapEff /proc/self/status | cut -f2", "00000000a80425fb"},
		{"seccomp", nil, "grep ^Seccomp: /proc/self/status | cut -f2", "2"},
		{"same namespaces", nil, "for n in ipc mnt net pid uts; do test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) || echo $n; done", ""},
		{"same cgroup", nil, `test "$(cat /proc/1/cgroup)" = "$(cat /proc/self/cgroup)" && echo same`, "same"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := d.With(t)
			equal(t, "output", d.Docker(append(append([]string{"exec"}, c.flags...), name, "sh", "-c", c.sh)...), c.want)
		})
	}
	d.Fails(126, nil, "exec", "-u", "nosuch", name, "true")
}

func TestExecCarriesTheStreams(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	r := d.CLIInput(strings.NewReader("in\n"), "exec", "-i", name, "sh", "-c", "cat; echo err >&2; exit 4")
	equal(t, "stdout", r.Stdout, "in\n")
	equal(t, "stderr", r.Stderr, "err\n")
	equal(t, "exit code", r.Code, 4)
}

func TestExecIsNotInTheLog(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	equal(t, "output", d.Docker("exec", name, "echo", "hidden"), "hidden")
	equal(t, "log", d.Docker("logs", name), "")
}

func TestExecLife(t *testing.T) {
	t.Parallel()
	d := engine(t)
	ctx := d.Context()
	name := up(d)
	id := inspect(d, name).ID
	e, err := d.Client().ExecCreate(ctx, name, client.ExecCreateOptions{Cmd: []string{"sh", "-c", "exit 8"}, AttachStdout: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "length of the ID", len(e.ID), 64)
	state := func() client.ExecInspectResult {
		s, err := d.Client().ExecInspect(ctx, e.ID, client.ExecInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	equal(t, "running before the start", state().Running, false)
	conn, err := d.Client().ExecAttach(ctx, e.ID, client.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	demultiplex(t, conn.Reader)
	conn.Close()
	d.Eventually("the exec has ended", func() bool { return !state().Running })
	equal(t, "exit code", state().ExitCode, 8)
	equal(t, "container", state().ContainerID, id)
	if _, err := d.Client().ExecStart(ctx, e.ID, client.ExecStartOptions{Detach: true}); !errdefs.IsConflict(err) {
		t.Errorf("second start: %v", err)
	}
	if _, err := d.Client().ExecInspect(ctx, "nosuch", client.ExecInspectOptions{}); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "No such exec instance: nosuch") {
		t.Errorf("inspect of a missing exec: %v", err)
	}
	if _, err := d.Client().ExecCreate(ctx, name, client.ExecCreateOptions{}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "No exec command specified") {
		t.Errorf("create without a command: %v", err)
	}
}

func TestDetachedExecRuns(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	equal(t, "output", d.Docker("exec", "-d", name, "sh", "-c", "echo done >/done"), "")
	d.Eventually("the file", func() bool { return d.CLI("exec", name, "cat", "/done").Stdout == "done\n" })
}

func TestExecsAreListedWhileTheyRun(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("exec", "-d", name, "sleep", "1000")
	d.Eventually("one exec", func() bool { return len(inspect(d, name).ExecIDs) == 1 })
	contains(t, "top", d.Docker("top", name), "sleep 1000")
}

func TestExecsEndWithTheirContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	done := make(chan int)
	go func() { done <- d.CLI("exec", name, "sh", "-c", "echo >/started; sleep 1000").Code }()
	d.Eventually("the exec runs", func() bool { return d.CLI("exec", name, "test", "-e", "/started").Code == 0 })
	d.Docker("kill", name)
	equal(t, "exit code", <-done, 137)
}

func TestPrivilegedExec(t *testing.T) {
	t.Parallel()
	d := engine(t)
	all := bounding(t)
	if d.Reference() && !strings.HasSuffix(all, "1ffffffffff") {
		t.Skip("the machine keeps capabilities back, and runc refuses then")
	}
	equal(t, "capabilities", d.Docker("exec", "--privileged", up(d), "sh", "-c", "grep CapEff /proc/self/status | cut -f2"), all)
}
