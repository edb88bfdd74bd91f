package task_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"gantry/task"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestTerminal(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	conf := task.Process{Terminal: true, OpenStdin: true, StdinOnce: true, ConsoleSize: [2]uint{33, 77}}
	if err := h.Prepare(ctx, id, conf); err != nil {
		t.Fatal(err)
	}
	stream := h.attach(id, "", task.AttachOptions{Stdin: true, Stdout: true, Stderr: true, CloseStdin: true})
	spec := h.spec(id, "stty size; read x; stty size; echo got $x; exit 4")
	spec.Process, spec.OCI.Process.Terminal = conf, true
	h.mustStart(spec)
	got := readUntil(t, stream, "33 77\r\n")
	if err := h.Resize(ctx, id, "", 44, 88); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stream, "word\n"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	if all := got + string(rest); !strings.HasSuffix(all, "44 88\r\ngot word\r\n") {
		t.Errorf("terminal: %q", all)
	}
	if e := h.exit(); e.Code != 4 {
		t.Errorf("exit %+v", e)
	}
}

func readUntil(t testing.TB, r io.Reader, text string) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 1)
	for !bytes.Contains(all, []byte(text)) {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, all)
		}
		all = append(all, buf[:n]...)
	}
	return string(all)
}

func TestExecOnTerminal(t *testing.T) {
	h := newHost(t)
	id, execID, ctx := randomID(t), randomID(t), context.Background()
	h.mustStart(h.spec(id, "sleep 1000"))
	_, err := h.Exec(ctx, id, execID, &specs.Process{Args: []string{"sh", "-c", "stty size; exit 2"}, Cwd: "/", Env: []string{"PATH=/bin"}},
		task.Process{Terminal: true, ConsoleSize: [2]uint{20, 30}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(h.attach(id, execID, output()))
	if err != nil || string(out) != "20 30\r\n" {
		t.Errorf("%q %v", out, err)
	}
	if e := receive(t, h.execs, "exit"); e.Code != 2 {
		t.Errorf("exit %+v", e)
	}
}

func TestStdinOnceEndsWithFirstClient(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	spec := h.spec(id, "cat; echo end")
	spec.Process = task.Process{OpenStdin: true, StdinOnce: true}
	if err := h.Prepare(ctx, id, spec.Process); err != nil {
		t.Fatal(err)
	}
	first := h.attach(id, "", task.AttachOptions{Stdin: true})
	second := h.attach(id, "", output())
	if _, err := io.WriteString(first, "from the first\n"); err != nil {
		t.Fatal(err)
	}
	h.mustStart(spec)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if out, _ := demultiplex(t, second); out != "from the first\nend\n" {
		t.Errorf("%q", out)
	}
	h.exit()
}

func TestStdinStaysOpenForTheNextClient(t *testing.T) {
	h := newHost(t)
	id := randomID(t)
	spec := h.spec(id, "read a; read b; echo $a $b")
	spec.Process = task.Process{OpenStdin: true}
	h.mustStart(spec)
	out := h.attach(id, "", output())
	for _, word := range []string{"one\n", "two\n"} {
		in := h.attach(id, "", task.AttachOptions{Stdin: true})
		if _, err := io.WriteString(in, word); err != nil {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := demultiplex(t, out); got != "one two\n" && got != "two one\n" {
		t.Errorf("%q", got)
	}
	h.exit()
}

func TestSlowClientLosesNothing(t *testing.T) {
	h := newHost(t)
	size := h.lines(8)
	id := randomID(t)
	if err := h.Prepare(context.Background(), id, task.Process{}); err != nil {
		t.Fatal(err)
	}
	stream := h.attach(id, "", output())
	h.mustStart(h.spec(id, "cat /lines"))
	e := make(chan string, 1)
	go func() {
		// It takes a little, then nothing for longer than a stall, then all.
		first := make([]byte, 8+1000)
		if _, err := io.ReadFull(stream, first); err != nil {
			t.Error(err)
		}
		time.Sleep(1500 * time.Millisecond) // longer than a client may stall: this is what is tested
		rest := io.MultiReader(bytes.NewReader(first), stream)
		out, _ := demultiplex(t, rest)
		e <- out
	}()
	if out := receive(t, e, "the output"); len(out) != size {
		t.Errorf("%d of %d bytes", len(out), size)
	}
	h.exit()
}

func TestClientThatNeverReadsStopsNobody(t *testing.T) {
	h := newHost(t)
	h.lines(8)
	id := randomID(t)
	if err := h.Prepare(context.Background(), id, task.Process{}); err != nil {
		t.Fatal(err)
	}
	stream := h.attach(id, "", output())
	h.mustStart(h.spec(id, "cat /lines /lines; exit 3"))
	if e := h.exit(); e.Code != 3 {
		t.Errorf("exit %+v", e)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestExecOutputWaitsForItsClient(t *testing.T) {
	h := newHost(t)
	size := h.lines(8)
	id, execID := randomID(t), randomID(t)
	h.mustStart(h.spec(id, "sleep 1000"))
	if _, err := h.Exec(context.Background(), id, execID, &specs.Process{Args: []string{"cat", "/lines"}, Cwd: "/", Env: []string{"PATH=/bin"}}, task.Process{}); err != nil {
		t.Fatal(err)
	}
	if out, _ := demultiplex(t, h.attach(id, execID, output())); len(out) != size {
		t.Errorf("%d of %d bytes", len(out), size)
	}
	if e := receive(t, h.execs, "exit"); e.Code != 0 {
		t.Errorf("exit %+v", e)
	}
	// One that ends before anybody attaches keeps its output too.
	execID = randomID(t)
	if _, err := h.Exec(context.Background(), id, execID, &specs.Process{Args: []string{"echo", "quick"}, Cwd: "/", Env: []string{"PATH=/bin"}}, task.Process{}); err != nil {
		t.Fatal(err)
	}
	receive(t, h.execs, "exit")
	if out, _ := demultiplex(t, h.attach(id, execID, output())); out != "quick\n" {
		t.Errorf("%q", out)
	}
}

func TestDetachedExec(t *testing.T) {
	h := newHost(t)
	id, execID := randomID(t), randomID(t)
	h.mustStart(h.spec(id, "sleep 1000"))
	if _, err := h.Exec(context.Background(), id, execID, &specs.Process{Args: []string{"sh", "-c", "yes | head -c 1000000; exit 8"}, Cwd: "/", Env: []string{"PATH=/bin"}}, task.Process{Detached: true}); err != nil {
		t.Fatal(err)
	}
	if e := receive(t, h.execs, "exit"); e.Code != 8 {
		t.Errorf("exit %+v", e)
	}
}

func TestGrandchildThatKeepsThePipeDelaysNoExit(t *testing.T) {
	h := newHost(t)
	id, execID := randomID(t), randomID(t)
	h.mustStart(h.spec(id, "sleep 1000"))
	began := time.Now()
	if _, err := h.Exec(context.Background(), id, execID, &specs.Process{Args: []string{"sh", "-c", "echo before; sleep 1000 & exit 1"}, Cwd: "/", Env: []string{"PATH=/bin"}}, task.Process{}); err != nil {
		t.Fatal(err)
	}
	if out, _ := demultiplex(t, h.attach(id, execID, output())); out != "before\n" {
		t.Errorf("%q", out)
	}
	if e := receive(t, h.execs, "exit"); e.Code != 1 {
		t.Errorf("exit %+v", e)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("exit took %v", d)
	}
}

func TestForgetEndsWhatWasPrepared(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	if err := h.Prepare(ctx, id, task.Process{OpenStdin: true}); err != nil {
		t.Fatal(err)
	}
	stream := h.attach(id, "", task.AttachOptions{Stdin: true, Stdout: true})
	if err := h.Forget(ctx, id); err != nil {
		t.Fatal(err)
	}
	if n, err := stream.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d %v", n, err)
	}
	if _, err := h.Attach(ctx, id, "", output()); !errdefs.IsNotFound(err) {
		t.Errorf("attach after forget: %v", err)
	}
}

func TestLogHoldsEverythingBeforeTheExitIsTold(t *testing.T) {
	h := newHost(t)
	for range 5 {
		id := randomID(t)
		spec, path := h.logged(h.spec(id, "seq 1 20000; printf 'no newline'"))
		h.mustStart(spec)
		h.exit()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte(`"20000\n"`)) || !bytes.Contains(data, []byte(`{"log":"no newline","stream":"stdout"`)) {
			t.Errorf("log ends with %q", data[max(0, len(data)-200):])
		}
	}
}

func TestNothingLeaks(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	once := func() {
		id := randomID(t)
		if err := h.Prepare(ctx, id, task.Process{OpenStdin: true}); err != nil {
			t.Fatal(err)
		}
		stream := h.attach(id, "", task.AttachOptions{Stdin: true, Stdout: true})
		spec := h.spec(id, "ls /proc/self/fd | wc -l; sleep 1000")
		spec.Process.OpenStdin = true
		h.mustStart(spec)
		readUntil(t, stream, "4\n") // 0, 1, 2 and the directory that ls reads
		execID := randomID(t)
		if _, err := h.Exec(ctx, id, execID, &specs.Process{Args: []string{"sh", "-c", "ls /proc/self/fd"}, Cwd: "/", Env: []string{"PATH=/bin"}}, task.Process{}); err != nil {
			t.Fatal(err)
		}
		execStream := h.attach(id, execID, output())
		if out, _ := demultiplex(t, execStream); out != "0\n1\n2\n3\n" { // 3 is the directory that ls reads
			t.Errorf("descriptors of an exec: %q", out)
		}
		if err := errors.Join(execStream.Close(), h.SignalAll(ctx, id)); err != nil {
			t.Fatal(err)
		}
		if out, _ := demultiplex(t, stream); out != "" {
			t.Errorf("rest of init's output: %q", out)
		}
		h.exit()
		if err := h.Settled(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
	}
	once()
	settledFiles := func() (goroutines, files, own int) {
		h.until("the task to be forgotten", func() bool {
			n, _, _, err := h.Statistics(ctx)
			return err == nil && n == 0
		})
		_, goroutines, files, err := h.Statistics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return goroutines, files, len(fds)
	}
	goroutines, files, own := settledFiles()
	for range 5 {
		once()
	}
	h.until("what was opened to be closed", func() bool {
		g, f, o := settledFiles()
		return g <= goroutines && f <= files && o <= own
	})
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		const at = 4 // proc_pid_mountinfo(5)
		if where := strings.Fields(line)[at]; strings.HasPrefix(where, h.cfg.Root+"/") && where != h.cfg.Root+"/bundles" {
			t.Errorf("mount %s is left", where)
		}
	}
	left, err := os.ReadDir(h.cfg.Root + "/bundles")
	if err != nil || len(left) != 0 {
		t.Errorf("bundles: %v %v", left, err)
	}
	if _, err := os.Stat("/sys/fs/cgroup/memory" + h.cgroup); err == nil {
		entries, _ := os.ReadDir("/sys/fs/cgroup/memory" + h.cgroup)
		for _, e := range entries {
			if e.IsDir() {
				t.Errorf("cgroup %s is left", e.Name())
			}
		}
	}
}

func TestSignalNumbersArrive(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	h.mustStart(h.spec(id, "trap 'exit 33' TERM; echo ready > /tmp/ready; while :; do sleep 0.01; done"))
	h.until("the trap", func() bool { _, err := os.Stat(h.rootfs + "/tmp/ready"); return err == nil })
	if err := h.Signal(ctx, id, int(unix.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	if e := h.exit(); e.Code != 33 {
		t.Errorf("exit %+v", e)
	}
	if err := h.Signal(ctx, id, int(unix.SIGTERM)); !errdefs.IsNotFound(err) {
		t.Errorf("signal after the end: %v", err)
	}
}
