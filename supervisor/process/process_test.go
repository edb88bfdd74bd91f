package process

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	const line = "42 (a) b) c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 256\n"
	st, err := parseStat(line)
	if err != nil || st.state != 'S' || st.parent != 7 || st.ticks != 123456 {
		t.Errorf("%+v %v", st, err)
	}
	if _, err := parseStat("42 (x"); err == nil {
		t.Error("a line that is cut short is accepted")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("1 (a) S 1 2 3")
	f.Fuzz(func(t *testing.T, line string) { _, _ = parseStat(line) })
}

// fork starts a process behind the os package's back, so that the reaper collects it.
func fork(t *testing.T, script string) int {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := syscall.ForkExec(sh, []string{"sh", "-c", script}, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func runReaper(t *testing.T) *Reaper {
	t.Helper()
	r := NewReaper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func TestReaperTellsHowChildrenEnded(t *testing.T) {
	r := runReaper(t)
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137} {
		done := r.Spawning()
		p, ended, err := r.Follow(t.Context(), fork(t, script))
		done()
		if err != nil {
			t.Fatal(err)
		}
		st := <-ended
		r.Dealt()
		if st.Code != want || st.Unknown {
			t.Errorf("%s: %+v", script, st)
		}
		if err := p.Signal(9); !errdefs.IsNotFound(err) {
			t.Errorf("signal to a dead process: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestChildThatEndedBeforeItWasKnown(t *testing.T) {
	r := runReaper(t)
	defer r.Spawning()()
	pid := fork(t, "exit 5")
	for unix.Kill(pid, 0) == nil { // until it has been collected
		time.Sleep(time.Millisecond)
	}
	p, ended, err := r.Follow(t.Context(), pid)
	if err != nil {
		t.Fatal(err)
	}
	if st := <-ended; st.Code != 5 {
		t.Errorf("%+v", st)
	}
	r.Dealt()
	if p.File() != nil {
		t.Error("a dead process has a pidfd")
	}
}

func TestPauseWaitsForWhatWasTold(t *testing.T) {
	r := runReaper(t)
	done := r.Spawning()
	_, ended, err := r.Follow(t.Context(), fork(t, "exit 1"))
	done()
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Pause(soon); err == nil {
		t.Error("paused before the status was dealt with")
	}
	r.Dealt()
	resume, err := r.Pause(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pid := fork(t, "exit 2")
	for { // a zombie: nobody collects it
		st, err := readStat(pid)
		if err != nil {
			t.Fatal("collected while paused")
		}
		if st.state == 'Z' {
			break
		}
		time.Sleep(time.Millisecond)
	}
	resume()
	if _, err := readStat(pid); err == nil {
		t.Error("not collected after the pause")
	}
}

func TestExitCodeOfSomebodyElsesChild(t *testing.T) {
	r := runReaper(t)
	// A grandchild: this process is not its parent, and its parent collects it.
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	stop, stopW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := r.Spawning()
	defer done()
	_, err = syscall.ForkExec(sh, []string{"sh", "-c", "sh -c 'echo $$; read x; exit 42'; sleep 1"},
		&syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{stop.Fd(), w.Fd(), 2}})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 20)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	for _, c := range strings.TrimSpace(string(buf[:n])) {
		pid = pid*10 + int(c-'0')
	}
	p, ended, err := r.Follow(t.Context(), pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := stopW.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	st := <-ended
	r.Dealt()
	if st.Unknown {
		t.Skip("kernel does not tell the exit code of a process that was collected (PIDFD_GET_INFO)")
	}
	if st.Code != 42 {
		t.Errorf("%+v", st)
	}
}

func TestReopenRefusesAnotherProcess(t *testing.T) {
	p, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	again, err := Reopen(p.Pid, p.Ticks)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := Reopen(p.Pid, p.Ticks+1); !errdefs.IsNotFound(err) {
		t.Errorf("a number that was given away again: %v", err)
	}
}
