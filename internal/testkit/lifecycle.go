package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// startTimeout is how long a daemon may take to its first answer; stopTimeout how long to stop. dockerd gives
// containers 10 s and then some.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 60 * time.Second
)

// ErrExited says that the daemon ended instead of answering.
var ErrExited = errors.New("the daemon has exited")

// start starts the daemon and waits for its first answer.
func (e *Engine) start(env []string) error {
	began := time.Now()
	if err := e.spawn(env); err != nil {
		return err
	}
	err := e.awaitReady()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.took = time.Since(began)
	return err
}

// Took is how long the daemon took from its start to its first answer, the last time.
func (e *Engine) Took() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.took
}

// spawn starts the daemon without waiting for it.
func (e *Engine) spawn(env []string) error {
	binary, err := e.kind.binary()
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, e.args()...)
	cmd.Env = append(append(os.Environ(), e.options.Env...), env...)
	cmd.Stdout, cmd.Stderr = e.logFile, e.logFile
	cmd.Dir = e.Dir
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // ^C in the terminal is for the test
	if err := e.ns.Start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", binary, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.daemon, e.exited = cmd, exited
	return nil
}

// awaitReady returns when the API answers. Errors: ErrExited, and the deadline.
func (e *Engine) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	_, exited := e.current()
	for {
		_, err := e.client.Ping(ctx, client.PingOptions{})
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return ErrExited
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v: %w", startTimeout, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (e *Engine) current() (*exec.Cmd, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.daemon, e.exited
}

func (e *Engine) running() bool {
	_, exited := e.current()
	select {
	case <-exited:
		return false
	default:
		return exited != nil
	}
}

// Pid is the daemon's.
func (e *Engine) Pid() int {
	cmd, _ := e.current()
	return cmd.Process.Pid
}

// Exited is closed when the current daemon process has ended.
func (e *Engine) Exited() <-chan struct{} {
	_, exited := e.current()
	return exited
}

// Signal sends the daemon a signal.
func (e *Engine) Signal(sig unix.Signal) error { return unix.Kill(e.Pid(), sig) }

// Stop ends the daemon as an operator does, with SIGTERM, and waits for it.
func (e *Engine) Stop() error { return e.end(unix.SIGTERM) }

// Kill9 ends the daemon as a crash does, and waits for it.
func (e *Engine) Kill9() error { return e.end(unix.SIGKILL) }

func (e *Engine) end(sig unix.Signal) error {
	if err := e.Signal(sig); err != nil {
		return err
	}
	select {
	case <-e.Exited():
		return nil
	case <-time.After(stopTimeout):
		_ = e.Signal(unix.SIGQUIT) // its stacks go to the log
		return fmt.Errorf("the daemon has not ended %v after signal %v", stopTimeout, sig)
	}
}

// Launch starts the daemon after Stop, Kill9 or a crash, with further environment, and waits for its first
// answer. Errors: ErrExited when it ends before.
func (e *Engine) Launch(env ...string) error { return e.start(env) }

// Spawn is Launch without the wait.
func (e *Engine) Spawn(env ...string) error { return e.spawn(env) }

// SetArgs replaces the test's own flags of the next start.
func (e *Engine) SetArgs(args ...string) { e.options.Args = args }

// Supervisor is the pid of gantry-supervisor, or 0 if there is none. Of several it returns the oldest.
func (e *Engine) Supervisor() int {
	for _, p := range e.Processes() {
		if p.Name == "gantry-supervisor" || strings.HasPrefix(p.Name, "gantry-supervi") {
			return p.Pid
		}
	}
	return 0
}

// KillSupervisor ends the data plane as a crash does.
func (e *Engine) KillSupervisor() error {
	pid := e.Supervisor()
	if pid == 0 {
		return errors.New("there is no supervisor")
	}
	return unix.Kill(pid, unix.SIGKILL)
}

// Process is one that lives in the engine's namespaces.
type Process struct {
	Pid    int
	Parent int
	Name   string // comm of proc(5): at most 15 bytes
	State  byte   // as in proc(5), 'Z' for one that nobody has waited for
	Ours   bool   // in the engine's own process namespace, not in a container's
}

// Processes lists what lives in the engine's namespaces, and in containers below, by pid; without process 1.
func (e *Engine) Processes() []Process {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", e.ns.Pid()))
	if err != nil {
		return nil
	}
	all := map[int]Process{}
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		if p, ok := readProcess(name); ok {
			p.Ours = false
			if link, err := os.Readlink(name + "/ns/pid"); err == nil && link == own {
				p.Ours = true
			}
			all[p.Pid] = p
		}
	}
	var in []Process
	for _, p := range all {
		if p.Pid != e.ns.Pid() && belongs(all, p, e.ns.Pid()) {
			in = append(in, p)
		}
	}
	slices.SortFunc(in, func(a, b Process) int { return a.Pid - b.Pid })
	return in
}

// belongs says that a process is in the namespace or descends from one that is. A daemon's parent is the test.
func belongs(all map[int]Process, p Process, init int) bool {
	for range len(all) {
		if p.Ours || p.Pid == init {
			return true
		}
		parent, ok := all[p.Parent]
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

// readProcess reads /proc/PID/stat: "pid (comm) state ppid ...".
func readProcess(dir string) (Process, bool) {
	data, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, false
	}
	stat := string(data)
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Process{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stat[:open]))
	fields := strings.Fields(stat[end+1:])
	if err != nil || len(fields) < 2 {
		return Process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return Process{Pid: pid, Parent: parent, Name: stat[open+1 : end], State: fields[0][0]}, err == nil
}

// ClearEnv takes the test's own environment from the next start of the daemon.
func (e *Engine) ClearEnv() { e.options.Env = nil }
