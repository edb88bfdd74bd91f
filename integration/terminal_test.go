package integration

import (
	"testing"
	"time"

	"github.com/moby/moby/client"
)

func TestInteractiveRun(t *testing.T) {
	t.Parallel()
	d := engine(t)
	term := d.PTY("run", "-it", "--rm", "--hostname", "h", "busybox", "sh")
	term.Expect("/ # ")
	term.Send("tty; echo $TERM; stty size\n")
	term.Expect("/dev/pts/0")
	term.Expect("xterm")
	term.Expect("24 80")
	term.Send("sleep 1000\n")
	term.Expect("sleep 1000")
	d.Eventually("the sleep runs", func() bool {
		for _, p := range d.Processes() {
			if p.Name == "sleep" && !p.Ours {
				return true
			}
		}
		return false
	})
	term.Send("\x03") // ^C ends the sleep, not the shell
	term.Send("echo $?\n")
	term.Expect("130")
	term.Send("exit 7\n")
	equal(t, "exit code", term.Wait(), 7)
}

func TestTerminalFollowsItsSize(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("size")
	term := d.PTY("run", "-it", "--name", name, "busybox", "sh")
	term.Expect("/ # ")
	term.Resize(40, 132)
	d.Eventually("the new size", func() bool {
		return d.CLI("exec", name, "sh", "-c", "stty size </dev/console || stty size </proc/1/fd/0").Stdout == "40 132\n"
	})
	term.Send("stty size\n")
	term.Expect("40 132")
	term.Send("exit\n")
	equal(t, "exit code", term.Wait(), 0)
}

func TestDetachKeysLeaveTheContainerRunning(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("detach")
	term := d.PTY("run", "-it", "--name", name, "busybox", "sh")
	term.Expect("/ # ")
	term.Send("\x10\x11") // ^P ^Q
	equal(t, "exit code", term.Wait(), 0)
	equal(t, "status", status(d, name), "running")

	again := d.PTY("attach", "--detach-keys", "ctrl-x,x", name)
	again.Send("echo again $((40+2))\n")
	again.Expect("again 42")
	again.Send("\x18x")
	again.Expect("read escape sequence")
	again.Wait()
	equal(t, "status", status(d, name), "running")
	_, err := d.Client().ContainerAttach(d.Context(), name, client.ContainerAttachOptions{Stream: true, DetachKeys: "ctrl-nosuch"})
	if err == nil {
		t.Error("bad detach keys are accepted")
	}

	last := d.PTY("attach", name)
	last.Send("exit 9\n")
	equal(t, "exit code", last.Wait(), 9)
}

func TestInteractiveExec(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	term := d.PTY("exec", "-it", name, "sh")
	term.Expect("/ # ")
	term.Send("tty; echo ${TERM}\n")
	term.Expect("/dev/pts/")
	term.Expect("xterm")
	term.Resize(50, 100)
	term.Send("sleep 0.3; stty size\n")
	term.Expect("50 100")
	term.Send("exit 6\n")
	equal(t, "exit code", term.Wait(), 6)

	term = d.PTY("exec", "-it", name, "sh")
	term.Expect("/ # ")
	term.Send("\x10\x11")
	term.Wait()
	equal(t, "status", status(d, name), "running")
}

func TestStartAttachedWithTerminal(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("startai")
	d.Docker("create", "-it", "--name", name, "busybox", "sh")
	term := d.PTY("start", "-ai", name)
	term.Expect("/ # ")
	term.Send("exit 3\n")
	equal(t, "exit code", term.Wait(), 3)
	// The log of a terminal has what was on it.
	contains(t, "log", d.Docker("logs", name), "exit 3")
}

func TestOutputOfAVanishedTerminalIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("vanish")
	d.Docker("run", "-dit", "--name", name, "busybox", "sh", "-c", "seq 1 20000; exit 3")
	began := time.Now()
	equal(t, "exit code", wait(d, name), 3)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
