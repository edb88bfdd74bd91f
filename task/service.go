package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Service is the client of the supervisor. Safe for concurrent use.
type Service struct {
	*responders
	cfg      Config
	log      *slog.Logger
	runtimes atomic.Pointer[runtimes]
	programs *programs
	client   *client

	mu      sync.Mutex // guards lastRun
	lastRun uint64
}

// openTime bounds how long Open waits for a supervisor that does not answer.
const openTime = 10 * time.Second

// Open connects to the supervisor of this exec root, or starts it, and hands
// back the descriptors that this process held for it. Runtimes are looked up and asked for their version.
// Errors: invalid argument, when the default runtime cannot be used.
func Open(ctx context.Context, cfg Config) (_ *Service, err error) {
	if cfg.Supervisor == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cfg.Supervisor = filepath.Join(filepath.Dir(self), "gantry-supervisor")
	}
	if err := os.MkdirAll(cfg.Root, 0o711); err != nil {
		return nil, err
	}
	if cfg.CatchUp != "" {
		if err := os.MkdirAll(cfg.CatchUp, 0o700); err != nil {
			return nil, err
		}
	}
	s := &Service{cfg: cfg, log: slog.Default(), programs: newPrograms(filepath.Join(cfg.Root, "seccomp"))}
	var work sync.WaitGroup
	var lookup error
	work.Go(func() { lookup = s.Reload(ctx, cfg) })
	limited, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	s.client, err = openClient(limited, cfg, s.log)
	work.Wait()
	s.responders = &responders{s.client}
	switch {
	case err != nil:
		return nil, errors.Join(lookup, fmt.Errorf("supervisor: %w", err))
	case lookup != nil:
		return nil, errors.Join(lookup, s.client.close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// Reload looks the runtimes of a new configuration up, and its default; nothing else of it is looked at. Containers that run keep
// the one that they were started with. Errors: invalid argument, when the default runtime cannot be used; then nothing changes.
func (s *Service) Reload(ctx context.Context, cfg Config) error {
	cfg.Root, cfg.SystemdCgroup = s.cfg.Root, s.cfg.SystemdCgroup
	found, err := findRuntimes(ctx, cfg)
	if err == nil {
		s.runtimes.Store(found)
	}
	return err
}

// Close lets go of the supervisor. It stops running only when it has no tasks.
func (s *Service) Close(ctx context.Context) error { return s.client.close(ctx) }

// Subscribe sets who is told. Exits that were not acknowledged are told again. Once.
func (s *Service) Subscribe(h Handler) { s.client.told.subscribe(h) }

// Tasks returns every task that the supervisor has, ended and unacknowledged ones included.
func (s *Service) Tasks(ctx context.Context) ([]State, error) {
	tasks, err := s.client.tasks(ctx)
	if err != nil {
		return nil, err
	}
	states := make([]State, 0, len(tasks))
	for _, t := range tasks {
		states = append(states, State{
			ID: t.ID, Run: t.Run, Pid: t.Pid, Started: t.Started, Paused: t.Paused, Execs: t.Execs, Exited: t.Exited,
		})
	}
	return states, nil
}

// Acknowledge forgets an ended task: its exit record and bundle are removed. Call it
// when the exit is on record elsewhere. Errors: failed precondition, while it runs.
func (s *Service) Acknowledge(ctx context.Context, id string, run uint64) error {
	of := protocol.Target{ID: id, Run: run}
	err := s.client.ask(ctx, protocol.OpAck, of, nil)
	if err == nil {
		s.client.told.forget(of)
	}
	return err
}

// Settled waits until what the runtime keeps of the task is gone (its state, cgroup and
// mounts), so that the container can be started again or its layer removed. It
// returns at once for a task that is not known.
func (s *Service) Settled(ctx context.Context, id string) error {
	return s.client.ask(ctx, protocol.OpSettled, protocol.Target{ID: id}, nil)
}

// Signal sends a signal to the init process. Errors: not found, when it is not running.
func (s *Service) Signal(ctx context.Context, id string, sig int) error {
	return s.client.ask(ctx, protocol.OpSignal, protocol.Signal{Target: protocol.Target{ID: id}, Signal: sig}, nil)
}

// SignalAll kills every process of the task with SIGKILL. Errors: not found, when it is not running.
func (s *Service) SignalAll(ctx context.Context, id string) error {
	return s.client.ask(ctx, protocol.OpSignalAll, protocol.Target{ID: id}, nil)
}

// Pause freezes all processes. Errors: not found, when it is not running.
func (s *Service) Pause(ctx context.Context, id string) error {
	return s.client.ask(ctx, protocol.OpPause, protocol.Target{ID: id}, nil)
}

// Resume thaws them.
func (s *Service) Resume(ctx context.Context, id string) error {
	return s.client.ask(ctx, protocol.OpResume, protocol.Target{ID: id}, nil)
}

// SignalExec sends a signal to an exec process. Errors: not found, when it is not running.
func (s *Service) SignalExec(ctx context.Context, id, execID string, sig int) error {
	return s.client.ask(ctx, protocol.OpSignal, protocol.Signal{Target: protocol.Target{ID: id, Exec: execID}, Signal: sig}, nil)
}

// Prepare makes the task's stdio known before Start, so that clients can attach to a container that
// is not running yet and miss nothing. Forget undoes it, and so does the death of this process.
// Errors: already exists, when it is running.
func (s *Service) Prepare(ctx context.Context, id string, p Process) error {
	if err := checkID(id); err != nil {
		return err
	}
	return s.client.ask(ctx, protocol.OpPrepare, protocol.Prepare{ID: id, Stdio: p.stdio()}, nil)
}

// Forget undoes Prepare: clients that attached see the end of the stream. After Start it does nothing.
func (s *Service) Forget(ctx context.Context, id string) error {
	return s.client.ask(ctx, protocol.OpForget, protocol.Target{ID: id}, nil)
}

// Resize sets the size of the terminal, in characters. Errors: not found.
func (s *Service) Resize(ctx context.Context, id, execID string, height, width uint) error {
	return s.client.ask(ctx, protocol.OpResize, protocol.Resize{Target: protocol.Target{ID: id, Exec: execID}, Height: height, Width: width}, nil)
}

// Upgrade makes the supervisor replace its program by the one that is now at its path, without touching a container. It returns
// when the new one answers. Attached streams end.
func (s *Service) Upgrade(ctx context.Context) error { return s.client.upgrade(ctx) }

// Runtimes returns the runtimes that can be used, by name, and the default's name.
func (s *Service) Runtimes() (all map[string]Runtime, byDefault string) {
	r := s.runtimes.Load()
	return r.usable(), r.byDefault
}

// Warnings says what an operator should know of the runtimes, in sentences.
func (s *Service) Warnings() []string { return s.runtimes.Load().warnings }

// SupervisorPid is the process ID of the supervisor; 0 while there is none.
func (s *Service) SupervisorPid() int { return s.client.pid() }

// Statistics are about the supervisor itself, for metrics and tests of leaks.
func (s *Service) Statistics(ctx context.Context) (tasks, goroutines, files int, err error) {
	var st protocol.Statistics
	err = s.client.ask(ctx, protocol.OpStatistics, nil, &st)
	return st.Tasks, st.Goroutines, st.Files, err
}

func (p Process) stdio() protocol.Stdio {
	return protocol.Stdio{
		Terminal: p.Terminal, OpenStdin: p.OpenStdin, StdinOnce: p.StdinOnce, Detached: p.Detached,
		Height: p.ConsoleSize[0], Width: p.ConsoleSize[1],
	}
}

// checkID refuses what cannot be a file's name. Errors: invalid argument.
func checkID(id string) error {
	if id == "" || id == "." || id == ".." || len(id) > unix.NAME_MAX/2 || filepath.Base(id) != id {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q is no ID", id))
	}
	return nil
}
