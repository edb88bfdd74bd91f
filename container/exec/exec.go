// Package exec runs further processes in running containers.
//
// An exec is made first, then started, once; its exit code can be asked for until the collector takes it away, some
// time after its end or with its container.
package exec

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"gantry/container"
	"gantry/task"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// keep is how long an ended exec can be asked about.
const keep = 10 * time.Minute

// Config is what the room stands on.
type Config struct {
	Containers *container.Service
	Resizer    Resizer
}

// Resizer sets the size of an exec's terminal: *task.Service.
type Resizer interface {
	Resize(ctx context.Context, id, execID string, height, width uint) error
}

// Service keeps the execs of all containers. Safe for concurrent use.
type Service struct {
	cfg  Config
	stop chan struct{}
	work sync.WaitGroup

	mu   sync.Mutex // guards byID and what the instances say below their own mu
	byID map[string]*instance
}

// instance is one exec.
type instance struct {
	id        string
	container *container.Container
	request   api.ExecCreateRequest

	// guarded by Service.mu
	started bool
	run     *container.ExecRun // nil until it runs
	code    *int               // set when it has ended
	ended   time.Time
}

// Open starts the collector.
func Open(_ context.Context, cfg Config) (*Service, error) {
	s := &Service{cfg: cfg, stop: make(chan struct{}), byID: map[string]*instance{}}
	s.work.Go(s.collect)
	return s, nil
}

// Close ends the collector; the processes run on.
func (s *Service) Close(context.Context) error {
	close(s.stop)
	s.work.Wait()
	return nil
}

// Create prepares a process in a running container and returns its ID, 64 hex digits. Errors: not found
// (container), conflict ("container X is not running", "... is paused ..."), invalid argument.
func (s *Service) Create(_ context.Context, containerRef string, r api.ExecCreateRequest) (string, error) {
	c, err := s.cfg.Containers.Get(containerRef)
	if err != nil {
		return "", err
	}
	if err := c.Executable(); err != nil {
		return "", err
	}
	if len(r.Cmd) == 0 {
		return "", errdefs.ErrInvalidArgument.WithMessage("No exec command specified")
	}
	var b [32]byte
	rand.Read(b[:])
	in := &instance{id: hex.EncodeToString(b[:]), container: c, request: r}
	s.mu.Lock()
	s.byID[in.id] = in
	s.mu.Unlock()
	s.announce(in, string(events.ActionExecCreate)+": "+line(r.Cmd), nil)
	return in.id, nil
}

// Prepared is an exec that is about to start.
type Prepared struct {
	Tty  bool
	Open [3]bool // stdin, stdout, stderr
}

// Get tells how an exec is connected, before Start. Errors: not found, conflict (container not running or paused, or it has run).
func (s *Service) Get(_ context.Context, id string) (Prepared, error) {
	in, err := s.find(id)
	if err != nil {
		return Prepared{}, err
	}
	s.mu.Lock()
	started := in.started
	s.mu.Unlock()
	if started {
		return Prepared{}, alreadyRun(id)
	}
	if err := in.container.Executable(); err != nil {
		return Prepared{}, err
	}
	r := in.request
	return Prepared{Tty: r.Tty, Open: [3]bool{r.AttachStdin, r.AttachStdout, r.AttachStderr}}, nil
}

// Start runs it, attached to the returned stream unless detach is set: then it is nil. Errors: not found ("No such exec instance: ID"),
// conflict (it has run already), and what the runtime says.
func (s *Service) Start(ctx context.Context, id string, r api.ExecStartRequest) (task.Stream, error) {
	in, err := s.find(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	again := in.started
	in.started = true
	s.mu.Unlock()
	if again {
		return nil, alreadyRun(id)
	}
	s.announce(in, string(events.ActionExecStart)+": "+line(in.request.Cmd), nil)
	run, err := s.cfg.Containers.Exec(ctx, in.container.Record().ID, id, runRequest(in.request, r))
	if err != nil {
		code := max(task.ExitCode(err), 126)
		s.end(in, code)
		return nil, err
	}
	s.mu.Lock()
	in.run = run
	s.mu.Unlock()
	s.work.Go(func() { s.watch(in, run) })
	if run.Stream == nil {
		return nil, nil
	}
	return &attached{Stream: run.Stream, detach: func() { s.announce(in, string(events.ActionExecDetach), nil) }}, nil
}

func runRequest(c api.ExecCreateRequest, r api.ExecStartRequest) container.ExecRequest {
	size := r.ConsoleSize
	if size == nil {
		size = c.ConsoleSize
	}
	req := container.ExecRequest{
		Args: c.Cmd, Env: c.Env, Dir: c.WorkingDir, User: c.User, Privileged: c.Privileged,
		Process: task.Process{Terminal: c.Tty, OpenStdin: c.AttachStdin && !r.Detach, StdinOnce: true},
	}
	if size != nil {
		req.Process.ConsoleSize = *size
	}
	if !r.Detach {
		req.Attach = task.AttachOptions{Stdin: c.AttachStdin, Stdout: c.AttachStdout, Stderr: c.AttachStderr, CloseStdin: true}
	}
	return req
}

// watch records the end.
func (s *Service) watch(in *instance, run *container.ExecRun) {
	select {
	case <-run.Done():
		s.settle(in)
	case <-s.stop:
	}
}

// settle records the end of an exec that has ended, whoever sees it first: a client that has read
// the end of the output asks at once for the exit code.
func (s *Service) settle(in *instance) {
	s.mu.Lock()
	run := in.run
	s.mu.Unlock()
	if run == nil {
		return
	}
	select {
	case <-run.Done():
		code, err := run.Wait(context.Background())
		if err == nil {
			s.end(in, code)
		}
	default:
	}
}

func (s *Service) end(in *instance, code int) {
	s.mu.Lock()
	known := in.code != nil
	if !known {
		in.code, in.ended = &code, time.Now()
	}
	s.mu.Unlock()
	if known {
		return
	}
	s.announce(in, string(events.ActionExecDie), map[string]string{"exitCode": strconv.Itoa(code)})
}

// Inspect is GET /exec/{id}/json. Errors: not found.
func (s *Service) Inspect(_ context.Context, id string) (*api.ExecInspectResponse, error) {
	in, err := s.find(id)
	if err != nil {
		return nil, err
	}
	s.settle(in)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := in.request
	out := &api.ExecInspectResponse{
		ID: id, ExitCode: in.code, Running: in.run != nil && in.code == nil, ContainerID: in.container.Record().ID,
		OpenStdin: r.AttachStdin, OpenStdout: r.AttachStdout, OpenStderr: r.AttachStderr, CanRemove: in.code != nil,
		DetachKeys: []byte(r.DetachKeys),
		ProcessConfig: &api.ExecProcessConfig{
			Tty: r.Tty, Entrypoint: r.Cmd[0], Arguments: r.Cmd[1:], Privileged: &r.Privileged, User: r.User,
		},
	}
	if in.run != nil {
		out.Pid = in.run.Pid
	}
	return out, nil
}

// Resize sets the terminal's size, in characters. Errors: not found, conflict (it does not run).
func (s *Service) Resize(ctx context.Context, id string, height, width uint) error {
	in, err := s.find(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	running := in.run != nil && in.code == nil
	s.mu.Unlock()
	if !running {
		return errdefs.ErrConflict.WithMessage("exec process is not started")
	}
	return s.cfg.Resizer.Resize(ctx, in.container.Record().ID, id, height, width)
}

func (s *Service) find(id string) (*instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.byID[id]
	if in == nil || in.container.Gone() {
		return nil, errdefs.ErrNotFound.WithMessage("No such exec instance: " + id)
	}
	return in, nil
}

func alreadyRun(id string) error {
	return errdefs.ErrConflict.WithMessage("Error: Exec command " + id + " is already running")
}

// collect forgets execs that ended long ago, and those of containers that are gone.
func (s *Service) collect() {
	every := time.NewTicker(keep / 10)
	defer every.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-every.C:
			s.mu.Lock()
			maps.DeleteFunc(s.byID, func(_ string, in *instance) bool {
				return in.container.Gone() || in.code != nil && now.Sub(in.ended) > keep
			})
			s.mu.Unlock()
		}
	}
}

func (s *Service) announce(in *instance, action string, extra map[string]string) {
	attrs := map[string]string{"execID": in.id}
	maps.Copy(attrs, extra)
	s.cfg.Containers.Announce(in.container.Record(), events.Action(action), attrs)
}

// line is the command as dockerd writes it into its events, with a space behind it when there are no arguments.
func line(cmd []string) string { return cmd[0] + " " + strings.Join(cmd[1:], " ") }

// attached tells of a client that leaves its exec running.
type attached struct {
	task.Stream
	detach func()
}

// Detached is called when the client typed the detach keys.
func (a *attached) Detached() { a.detach() }
