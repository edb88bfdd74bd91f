package testkit

import (
	"strings"
	"testing"
)

func TestContainerRunsInAnEngineOfItsOwn(t *testing.T) {
	d := Start(t, Options{}).Session(t)
	d.LoadBusybox()
	if out := d.Docker("run", "--rm", "busybox", "echo", "hello"); out != "hello" {
		t.Errorf("output %q", out)
	}
	if links := strings.Join(d.links(), " "); !strings.Contains(links, "docker0") {
		t.Errorf("no bridge in the engine's network namespace: %s", links)
	}
}

func TestDaemonComesBackInTheSameNamespaces(t *testing.T) {
	d := Start(t, Options{}).Session(t)
	pid := d.Namespaces().Pid()
	if err := d.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	if now := d.Namespaces().Pid(); now != pid {
		t.Errorf("process 1 was %d and is %d", pid, now)
	}
}

func TestTerminalShowsWhatACommandWrites(t *testing.T) {
	d := Start(t, Options{}).Session(t)
	d.LoadBusybox()
	term := d.PTY("run", "--rm", "-it", "busybox", "sh")
	term.Expect("/ # ")
	term.Send("echo $((6*7))\n")
	term.Expect("42")
	term.Send("exit 3\n")
	if code := term.Wait(); code != 3 {
		t.Errorf("exit code %d", code)
	}
}
