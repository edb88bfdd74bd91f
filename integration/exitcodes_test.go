package integration

import "testing"

func TestExitCodesOfRun(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, c := range []struct {
		name string
		code int
		text string
		args []string
	}{
		{"own", 3, "", []string{"busybox", "sh", "-c", "exit 3"}},
		{"killed", 137, "", []string{"busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"}},
		{"not found", 127, `nosuch`, []string{"busybox", "nosuch"}},
		{"path not found", 127, "/no/such", []string{"busybox", "/no/such"}},
		{"directory", 126, "", []string{"busybox", "/etc"}},
		{"not executable", 126, "ermission denied", []string{"busybox", "/etc/passwd"}},
		{"no image", 125, "No such image: nosuch:latest", []string{"--pull=never", "nosuch", "true"}},
		{"bad name", 125, "Invalid container name (b d), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", []string{"--name", "b d", "busybox", "true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.With(t).Fails(c.code, []string{c.text}, append([]string{"run", "--rm"}, c.args...)...)
		})
	}
}

func TestFailedStartIsRecorded(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("bad")
	d.Fails(127, nil, "run", "-d", "--name", name, "busybox", "nosuch")
	c := inspect(d, name)
	equal(t, "status", string(c.State.Status), "created")
	equal(t, "exit code", c.State.ExitCode, 127)
	contains(t, "error", c.State.Error, "nosuch")
	d.Fails(1, []string{"nosuch"}, "start", name)
}

func TestExitCodesOfExec(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Fails(9, nil, "exec", name, "sh", "-c", "exit 9")
	d.Fails(137, nil, "exec", name, "sh", "-c", "kill -9 $$")
	notFound := 127
	if d.Reference() {
		notFound = 126 // 127 since Docker 25
	}
	d.Fails(notFound, nil, "exec", name, "nosuch")
	d.Fails(126, nil, "exec", name, "/etc/passwd")
	d.Fails(1, []string{"No such container: nosuch"}, "exec", "nosuch", "true")
}

func TestStoppedContainersCarryTheSignal(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("term")
	// Process 1 is only ended by a signal that it does not handle if it is SIGKILL, signal(7); so its child says 143.
	d.Docker("run", "-d", "--name", name, "--init", "busybox", "sleep", "1000")
	d.Docker("stop", name)
	equal(t, "exit code", inspect(d, name).State.ExitCode, 143)
	d.Docker("start", name)
	d.Docker("kill", name)
	equal(t, "exit code", wait(d, name), 137)
}
