package task_test

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"gantry/task"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestStartAttachExit(t *testing.T) {
	h := newHost(t)
	id := randomID(t)
	ctx := context.Background()
	if err := h.Prepare(ctx, id, task.Process{}); err != nil {
		t.Fatal(err)
	}
	stream := h.attach(id, "", output())
	st := h.mustStart(h.spec(id, "echo out; echo err >&2; exit 7"))
	if st.Pid == 0 || st.Run == 0 {
		t.Errorf("state %+v", st)
	}
	stdout, stderr := demultiplex(t, stream)
	if stdout != "out\n" || stderr != "err\n" {
		t.Errorf("stdout %q stderr %q", stdout, stderr)
	}
	e := h.exit()
	if e.Code != 7 || e.Unknown || e.OOM || e.ID != id || e.Run != st.Run {
		t.Errorf("exit %+v", e)
	}
	if err := h.Settled(ctx, id); err != nil {
		t.Fatal(err)
	}
}

func TestExec(t *testing.T) {
	h := newHost(t)
	id := randomID(t)
	ctx := context.Background()
	h.mustStart(h.spec(id, "sleep 1000"))
	for range 3 {
		execID := randomID(t)
		pid, err := h.Exec(ctx, id, execID, &specs.Process{Args: []string{"sh", "-c", "cat; echo e >&2; exit 3"}, Cwd: "/", Env: []string{"PATH=/bin"}}, task.Process{OpenStdin: true})
		if err != nil {
			t.Fatal(err)
		}
		if pid == 0 {
			t.Error("no pid")
		}
		stream := h.attach(id, execID, task.AttachOptions{Stdin: true, Stdout: true, Stderr: true, CloseStdin: true})
		if _, err := io.WriteString(stream, "hello"); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		stdout, stderr := demultiplex(t, stream)
		if stdout != "hello" || stderr != "e\n" {
			t.Errorf("stdout %q stderr %q", stdout, stderr)
		}
		select {
		case e := <-h.execs:
			if e.Code != 3 || e.ExecID != execID {
				t.Errorf("exit %+v", e)
			}
		default:
			t.Error("stream ended before the exit was told")
		}
	}
	if err := h.Signal(ctx, id, 9); err != nil {
		t.Fatal(err)
	}
	if e := h.exit(); e.Code != 137 {
		t.Errorf("exit %+v", e)
	}
}

func TestRefusals(t *testing.T) {
	h := newHost(t)
	if err := os.WriteFile(h.rootfs+"/etc/data", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		arg, words string
		code       int
	}{
		{"nonexistent", `exec: "nonexistent": executable file not found in $PATH: unknown`, 127},
		{"/nonexistent", `exec: "/nonexistent": stat /nonexistent: no such file or directory: unknown`, 127},
		{"/etc/data", `exec: "/etc/data": permission denied: unknown`, 126},
		{"/etc", `exec: "/etc": is a directory: permission denied: unknown`, 126},
		{"/etc/data/x", `exec: "/etc/data/x": stat /etc/data/x: not a directory: unknown`, 126},
	} {
		t.Run(c.arg, func(t *testing.T) {
			id := randomID(t)
			s := h.spec(id, "")
			s.OCI.Process.Args = []string{c.arg}
			_, err := h.start(s)
			if !errdefs.IsInvalidArgument(err) || task.ExitCode(err) != c.code {
				t.Errorf("class or code: %d %v", task.ExitCode(err), err)
			}
			if err == nil || !strings.HasSuffix(err.Error(), c.words) || !strings.HasPrefix(err.Error(), "failed to create task for container: ") {
				t.Errorf("words: %v", err)
			}
		})
	}
}
