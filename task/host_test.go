package task_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry/logdriver"
	"gantry/task"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// host is an exec root with a Service, and what it has been told.
type host struct {
	testing.TB
	*task.Service
	cfg    task.Config
	rootfs string
	cgroup string
	exits  chan task.Exit
	execs  chan task.Exit
	ooms   chan string
	// hold makes TaskExited leave the exit unacknowledged.
	hold bool
}

func (h *host) TaskExited(e task.Exit) {
	if !h.hold {
		if err := h.Acknowledge(context.Background(), e.ID, e.Run); err != nil {
			h.Errorf("acknowledge: %v", err)
		}
	}
	h.exits <- e
}
func (h *host) ExecExited(e task.Exit) { h.execs <- e }
func (h *host) TaskOOM(id string)      { h.ooms <- id }

// patience bounds every wait of a test: longer than a loaded machine needs.
const patience = 30 * time.Second

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{TB: t, rootfs: busyboxRoot(t), cgroup: "/gantry-test-" + randomID(t)}
	root := filepath.Join(t.TempDir(), "run")
	h.cfg = task.Config{Root: root, Supervisor: supervisorBinary, CatchUp: filepath.Join(root, "catch-up")}
	t.Cleanup(h.wipe)
	h.open()
	return h
}

// open starts a Service as a new gantryd would.
func (h *host) open() {
	h.Helper()
	h.exits, h.execs, h.ooms = make(chan task.Exit, 100), make(chan task.Exit, 100), make(chan string, 100)
	s, err := task.Open(context.Background(), h.cfg)
	if err != nil {
		h.Fatal(err)
	}
	h.Service = s
	s.Subscribe(h)
}

// wipe ends everything that the test has started.
func (h *host) wipe() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h.hold = false
	states, err := h.Tasks(ctx)
	if err != nil {
		h.Errorf("tasks: %v", err)
	}
	for _, st := range states {
		if st.Exited == nil {
			_ = h.SignalAll(ctx, st.ID) // it may end by itself meanwhile
		}
	}
	for _, st := range states {
		if err := h.Settled(ctx, st.ID); err != nil {
			h.Errorf("settle %s: %v", st.ID, err)
		}
		if err := h.Acknowledge(ctx, st.ID, st.Run); err != nil {
			h.Errorf("acknowledge %s: %v", st.ID, err)
		}
	}
	pid := h.SupervisorPid()
	h.until("all tasks to be forgotten", func() bool {
		n, _, _, err := h.Statistics(ctx)
		return err != nil || n == 0
	})
	if err := h.Close(ctx); err != nil {
		h.Errorf("close: %v", err)
	}
	h.until("the supervisor to end", func() bool { return unix.Kill(pid, 0) != nil || zombie(pid) })
	_ = unix.Unmount(filepath.Join(h.cfg.Root, "bundles"), unix.MNT_DETACH) // left by a supervisor that was killed
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + h.cgroup)
	for _, d := range dirs {
		if err := os.Remove(d); err != nil {
			h.Errorf("cgroup is left: %v", err)
		}
	}
}

func zombie(pid int) bool {
	data, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "stat"))
	return err != nil || strings.Contains(string(data), ") Z ")
}

// until waits for something that nothing announces.
func (h *host) until(what string, done func() bool) {
	h.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("waited in vain for %s", what)
		}
	}
}

func busyboxRoot(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("machine has no static busybox: ", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mkdir", "printf", "sh", "echo", "cat", "sleep", "true", "false", "dd", "yes", "head", "stty", "ls", "seq", "kill", "wc", "tail", "tr"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// spec is a container that runs a shell script.
func (h *host) spec(id, script string) task.Spec {
	return task.Spec{ID: id, OCI: h.oci(id, "sh", "-c", script), Log: "none", ExitFile: filepath.Join(h.cfg.Root, id+".exit")}
}

func (h *host) oci(id string, args ...string) *specs.Spec {
	pids, memory := int64(200), int64(128<<20)
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin", "TERM=xterm"}},
		Root:    &specs.Root{},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: h.cgroup + "/" + id,
			Resources:   &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &pids}, Memory: &specs.LinuxMemory{Limit: &memory}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace},
			},
		},
	}
}

// start starts a container on a detached copy of the test's root.
func (h *host) start(spec task.Spec) (task.State, error) {
	h.Helper()
	root, err := detachedRoot(h.rootfs)
	if err != nil {
		h.Fatal(err)
	}
	spec.Root = root
	st, err := h.Start(context.Background(), spec)
	if err := spec.Root.Close(); err != nil {
		h.Fatal(err)
	}
	return st, err
}

func detachedRoot(dir string) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "root"), nil
}

func (h *host) mustStart(spec task.Spec) task.State {
	h.Helper()
	st, err := h.start(spec)
	if err != nil {
		h.Fatal(err)
	}
	return st
}

func (h *host) exit() task.Exit {
	h.Helper()
	return receive(h, h.exits, "an exit")
}

func receive[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// logged runs a container with a json-file log and returns the log's path.
func (h *host) logged(spec task.Spec) (task.Spec, string) {
	path := filepath.Join(h.TempDir(), spec.ID+"-json.log")
	spec.Log = "json-file"
	spec.LogInfo = logdriver.Info{ContainerID: spec.ID, Path: path, Options: map[string]string{"max-size": "-1"}}
	return spec, path
}

func (h *host) attach(id, exec string, o task.AttachOptions) task.Stream {
	h.Helper()
	st, err := h.Attach(context.Background(), id, exec, o)
	if err != nil {
		h.Fatal(err)
	}
	return st
}

func output() task.AttachOptions { return task.AttachOptions{Stdout: true, Stderr: true} }

// demultiplex reads frames to the end.
func demultiplex(t testing.TB, r io.Reader) (stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	var header [8]byte
	r = bufio.NewReaderSize(r, 64<<10)
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatalf("header: %v after %d bytes", err, out.Len())
			}
			return out.String(), errOut.String()
		}
		to := &out
		if header[0] == 2 {
			to = &errOut
		}
		if _, err := io.CopyN(to, r, int64(binary.BigEndian.Uint32(header[4:]))); err != nil {
			t.Fatalf("frame: %v", err)
		}
	}
}

func killHard(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
