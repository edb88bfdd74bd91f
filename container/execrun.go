package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"gantry/container/record"
	"gantry/container/spec"
	"gantry/task"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// execs starts further processes and knows those that run.
type execs struct {
	*records
	mu      sync.Mutex          // guards running
	running map[string]*ExecRun // by exec ID
}

// ExecRequest is a further process in a running container.
type ExecRequest struct {
	Args       []string
	Env        []string
	Dir        string
	User       string // "" for the container's
	Privileged bool
	Process    task.Process
	Attach     task.AttachOptions // no stream is opened for the zero value
}

// ExecRun is such a process, once it runs.
type ExecRun struct {
	Pid    int         // on the host
	Stream task.Stream // nil if nothing is attached

	execs  *execs
	id     string // of the container
	execID string
	done   chan struct{} // closed when exit is set
	exit   task.Exit
}

// Exec starts a process. Errors: not found, conflict ("container X is not running", "... is paused"), and what the runtime says.
func (s *execs) Exec(ctx context.Context, ref, execID string, req ExecRequest) (*ExecRun, error) {
	c, err := s.Get(ref)
	if err != nil {
		return nil, err
	}
	if err := c.Executable(); err != nil {
		return nil, err
	}
	process, err := s.execProcess(c.Record(), req)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	run := &ExecRun{execs: s, id: c.id, execID: execID, done: make(chan struct{})}
	s.mu.Lock()
	s.running[execID] = run
	s.mu.Unlock()
	attached := req.Attach != task.AttachOptions{}
	req.Process.Detached = !attached
	if run.Pid, err = s.cfg.Tasks.Exec(ctx, c.id, execID, process, req.Process); err != nil {
		s.forgetExec(execID)
		return nil, err
	}
	if attached {
		if run.Stream, err = s.cfg.Tasks.Attach(ctx, c.id, execID, req.Attach); err != nil {
			return nil, errors.Join(err, run.Kill(ctx))
		}
	}
	return run, nil
}

// Executable is nil for a container in which a process can be started. Errors: conflict, in dockerd's words.
func (c *Container) Executable() error {
	r := c.Record()
	switch {
	case r.Status == record.Restarting:
		return errdefs.ErrConflict.WithMessage("Container " + r.ID + " is restarting, wait until the container is running")
	case r.Status == record.Paused:
		return errdefs.ErrConflict.WithMessage("Container " + r.ID + " is paused, unpause the container before exec")
	case !r.Up():
		return errdefs.ErrConflict.WithMessage("container " + r.ID + " is not running")
	}
	return nil
}

// execProcess resolves the user in the running container's root and makes the process.
func (s *execs) execProcess(r *record.Container, req ExecRequest) (_ *specs.Process, err error) {
	root, err := os.Open(fmt.Sprintf("/proc/%d/root", r.Pid))
	if err != nil {
		return nil, errdefs.ErrConflict.WithMessage("container " + r.ID + " is not running")
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	user := req.User
	if user == "" {
		user = r.Config.User
	}
	o := spec.ExecOptions{
		Args: req.Args, Env: req.Env, Dir: req.Dir, Privileged: req.Privileged,
		Terminal: req.Process.Terminal, Size: req.Process.ConsoleSize,
	}
	if o.User, o.Home, err = spec.ResolveUser(root, user, r.HostConfig.GroupAdd); err != nil {
		return nil, err
	}
	in := spec.Input{Record: r, Daemon: s.settings.Load().Spec, User: o.User, Home: o.Home, LinkEnv: s.linkEnv(r)}
	in.Daemon.Seccomp, in.Daemon.Program = s.seccomp(r), s.cfg.Security.Program
	return spec.Process(in, o)
}

func (s *records) seccomp(r *record.Container) func(*specs.Spec) (*specs.LinuxSeccomp, error) {
	return func(sp *specs.Spec) (*specs.LinuxSeccomp, error) {
		return s.cfg.Security.Seccomp(r.SeccompProfile, r.HostConfig.Privileged, sp)
	}
}

// ExecExited is the supervisor's word that an exec process has ended.
func (s *execs) ExecExited(e task.Exit) {
	if run := s.forgetExec(e.ExecID); run != nil {
		run.exit = e
		close(run.done)
	}
}

func (s *execs) forgetExec(id string) *ExecRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.running[id]
	delete(s.running, id)
	return run
}

// Done is closed when the process has ended.
func (e *ExecRun) Done() <-chan struct{} { return e.done }

// Wait returns the exit code. Errors: ctx's.
func (e *ExecRun) Wait(ctx context.Context) (int, error) {
	select {
	case <-e.done:
		return e.exit.Code, nil
	case <-ctx.Done():
		return -1, context.Cause(ctx)
	}
}

// Kill ends it with SIGKILL. One that has ended is not an error.
func (e *ExecRun) Kill(ctx context.Context) error {
	err := e.execs.cfg.Tasks.SignalExec(ctx, e.id, e.execID, 9)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
