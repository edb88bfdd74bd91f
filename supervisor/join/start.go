package join

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"gantry/internal/fdpass"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Request is a process to be started in a running container.
type Request struct {
	Container *Container
	Process   *specs.Process
	Init      *os.File    // pidfd of the container's first process
	InitPid   int         // its number here
	Stdio     [3]*os.File // not used with a terminal
	Terminal  **os.File   // where the master of the terminal is put; nil for none
	// Confine puts the child into the container's cgroups.
	Confine func(pid int) error
}

// Refused is what keeps a process from running, in the words of OCI runtimes.
type Refused struct{ Words string }

func (r *Refused) Error() string { return r.Words }

// namespaces are entered all at once. Those that the container shares with the host are entered without effect.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// Start returns the number of the process once it executes what it was asked to: it is a child of this one. The caller keeps what it
// is told of children (process.Reaper.Spawning). Errors: *Refused, when the container has no such program, user's right or directory.
func Start(r Request) (pid int, err error) {
	pl, err := newPlan(r.Container, r.Process)
	if err != nil {
		return 0, &Refused{err.Error()}
	}
	gate, report, err := pipes()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, gate.close(), report.close()) }()
	pl.gate, pl.word, pl.report = int(gate.r.Fd()), int(gate.w.Fd()), int(report.w.Fd()) // blocking, as the child reads and writes

	t := thread{request: r, plan: pl, forked: make(chan error, 1), release: make(chan struct{})}
	go t.run()
	err = <-t.forked
	defer close(t.release)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(gate.r.Close(), report.w.Close()); err != nil {
		return 0, err
	}
	if err := arrange(r, t.pid); err != nil {
		return 0, err // the gate closes, and the child ends
	}
	if _, err := gate.w.Write([]byte{1}); err != nil {
		return 0, err
	}
	if err := outcomeOf(report.r, pl, r.Process); err != nil {
		return 0, err
	}
	return t.pid, nil
}

// pipe is both ends; closing an end twice is no error.
type pipe struct{ r, w *os.File }

func pipes() (gate, report pipe, err error) {
	if gate.r, gate.w, err = os.Pipe(); err != nil {
		return gate, report, err
	}
	if report.r, report.w, err = os.Pipe(); err != nil {
		err = errors.Join(err, gate.close())
	}
	return gate, report, err
}

func (p pipe) close() error {
	var errs []error
	for _, f := range []*os.File{p.r, p.w} {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// thread enters the container and forks. It is never used for anything else again.
type thread struct {
	request Request
	plan    *plan
	pid     int           // of the child, when forked has told no error
	forked  chan error    // told once
	release chan struct{} // closed when the child needs its parent thread no more
}

func (t *thread) run() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	t.forked <- t.fork()
	<-t.release
}

func (t *thread) fork() (err error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare the directory of a thread: %w", err)
	}
	init, err := fdpass.Number(t.request.Init)
	if err != nil {
		return err
	}
	if err := unix.Setns(init, namespaces); err != nil {
		return fmt.Errorf("enter the container's namespaces: %w", err)
	}
	var slave *os.File
	if t.request.Terminal != nil {
		if slave, err = openTerminal(t.request); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, slave.Close()) }()
	}
	for i, f := range t.request.Stdio {
		if slave != nil {
			f = slave
		}
		if t.plan.stdio[i], err = fdpass.Number(f); err != nil {
			return err
		}
	}
	pid, errno := t.plan.fork()
	runtime.KeepAlive(slave)
	if errno != 0 {
		return fmt.Errorf("fork: %w", errno)
	}
	t.pid = pid
	return nil
}

// arrange sets what the child cannot set itself: its cgroups, limits and OOM score.
func arrange(r Request, pid int) error {
	if err := r.Confine(pid); err != nil {
		return fmt.Errorf("join the container's cgroups: %w", err)
	}
	// This process has raised its own limit of descriptors, as Go programs do: the container's is that of its first process.
	var files unix.Rlimit
	if err := unix.Prlimit(r.InitPid, unix.RLIMIT_NOFILE, nil, &files); err == nil {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &files, nil); err != nil {
			return fmt.Errorf("set the limit of descriptors: %w", err)
		}
	}
	for _, l := range r.Process.Rlimits {
		resource, known := resources[l.Type]
		if !known {
			return &Refused{fmt.Sprintf("unknown resource limit %q", l.Type)}
		}
		limit := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		if err := unix.Prlimit(pid, resource, &limit, nil); err != nil {
			return &Refused{fmt.Sprintf("error setting rlimit type %s: %v", l.Type, err)}
		}
	}
	if score := r.Process.OOMScoreAdj; score != nil {
		path := "/proc/" + strconv.Itoa(pid) + "/oom_score_adj"
		if err := os.WriteFile(path, []byte(strconv.Itoa(*score)), 0); err != nil {
			return fmt.Errorf("set the OOM score: %w", err)
		}
	}
	return nil
}

// resources are those of getrlimit(2), by their names in the OCI specification.
var resources = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

// outcomeOf reads the child's report to its end: the pipe closes without one when the process executes. Either way the child is done
// with this process's memory by then, because the kernel leaves that before it closes descriptors.
func outcomeOf(report *os.File, pl *plan, p *specs.Process) error {
	var o outcome
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&o)), outcomeSize)
	n, err := io.ReadFull(report, buf)
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return fmt.Errorf("child reported %d bytes: %w", n, err)
	}
	if _, err := io.Copy(io.Discard, report); err != nil {
		return err
	}
	return &Refused{pl.failure(o, p)}
}
