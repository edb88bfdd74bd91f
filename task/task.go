// Package task runs containers: it drives the OCI runtime through the supervisor.
//
// A task is the running side of a container: its init process, its stdio and its
// log. An exec is a further process in it. Both belong to gantry-supervisor, which
// outlives this process; the Service is its client and starts it when it is missing.
package task

import (
	"context"
	"io"
	"os"
	"time"

	"gantry/logdriver"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Runtime is an OCI runtime by name.
type Runtime struct {
	Path    string   // looked up in PATH when it has no slash
	Args    []string // before the command
	Version string   // what `--version` said; filled by Open
}

// Config says where things are.
type Config struct {
	Root           string             // exec root: sockets, bundles, runtime state
	Supervisor     string             // path of the gantry-supervisor binary
	Runtimes       map[string]Runtime // by name; "crun" and "runc" are found in PATH if they are not listed
	DefaultRuntime string             // "" for crun, or runc where crun is absent
	SystemdCgroup  bool               // exec-opt native.cgroupdriver=systemd
	CatchUp        string             // directory for what slow subscribers have yet to read
}

// Process says what an init or exec process is connected to.
type Process struct {
	Terminal    bool
	ConsoleSize [2]uint // height, width; 0 for the default
	OpenStdin   bool
	StdinOnce   bool // stdin is closed when the first attached client leaves
}

// Spec is a task to start.
type Spec struct {
	ID       string
	OCI      *specs.Spec // Root.Path is set by the service
	Runtime  string      // name; "" for the default
	Root     *os.File    // a detached mount (fsmount(2), open_tree(2)); moved to the bundle's rootfs in a mount namespace of the runtime's own, so the host never sees it. The caller closes it.
	Process  Process
	Log      string // log driver name; "none" keeps nothing
	LogInfo  logdriver.Info
	ExitFile string // where the exit record is written, durably, before anyone is told
}

// Exit is how a process ended.
type Exit struct {
	ID      string    `json:"id"`             // container
	ExecID  string    `json:"exec,omitempty"` // "" for init
	Run     uint64    `json:"run"`            // of the task: tells one start of a container from the next
	Code    int       `json:"code"`           // 128+signal for a signal; 255 when it is unknown
	Unknown bool      `json:"unknown,omitempty"`
	OOM     bool      `json:"oom,omitempty"` // the kernel's OOM killer struck in this run
	At      time.Time `json:"at"`
}

// State is a running task, as the supervisor knows it.
type State struct {
	ID      string
	Run     uint64
	Pid     int
	Started time.Time
	Paused  bool
	Execs   []string // IDs of running execs
	Exited  *Exit    // set when it has ended and nobody has acknowledged it yet
}

// Handler is told what happens to tasks. Calls for one container come in order; a call
// must return soon.
type Handler interface {
	TaskExited(Exit)
	ExecExited(Exit)
	TaskOOM(id string)
}

// Service is the client of the supervisor. Safe for concurrent use.
type Service struct{}

// Open connects to the supervisor of this exec root, or starts it, and hands
// back the descriptors that this process held for it. Runtimes are looked up and asked for their version.
func Open(ctx context.Context, cfg Config) (*Service, error) { return nil, errdefs.ErrNotImplemented }

// Close lets go of the supervisor. It stops running only when it has no tasks.
func (s *Service) Close(context.Context) error { return nil }

// Subscribe sets who is told. Exits that were not acknowledged are told again. Once.
func (s *Service) Subscribe(h Handler) {}

// Tasks returns every task that the supervisor has, ended and unacknowledged ones included.
func (s *Service) Tasks(ctx context.Context) ([]State, error) { return nil, errdefs.ErrNotImplemented }

// Start runs a container's init process. The bundle is written, the runtime called
// once. Errors: already exists; not found (runtime); invalid argument when the runtime
// refuses the specification, with its words.
func (s *Service) Start(ctx context.Context, spec Spec) (State, error) {
	return State{}, errdefs.ErrNotImplemented
}

// Acknowledge forgets an ended task: its exit record and bundle are removed. Call it
// when the exit is on record elsewhere.
func (s *Service) Acknowledge(ctx context.Context, id string, run uint64) error {
	return errdefs.ErrNotImplemented
}

// Settled waits until what the runtime keeps of the task is gone (its state, cgroup and
// mounts), so that the container can be started again or its layer removed. It
// returns at once for a task that is not known.
func (s *Service) Settled(ctx context.Context, id string) error { return errdefs.ErrNotImplemented }

// Signal sends a signal to the init process. Errors: not found, when it is not running.
func (s *Service) Signal(ctx context.Context, id string, sig int) error {
	return errdefs.ErrNotImplemented
}

// SignalAll kills every process of the task with SIGKILL.
func (s *Service) SignalAll(ctx context.Context, id string) error { return errdefs.ErrNotImplemented }

// Pause freezes all processes. Resume thaws them.
func (s *Service) Pause(ctx context.Context, id string) error  { return errdefs.ErrNotImplemented }
func (s *Service) Resume(ctx context.Context, id string) error { return errdefs.ErrNotImplemented }

// Update changes the resource limits of a running task.
func (s *Service) Update(ctx context.Context, id string, r *specs.LinuxResources) error {
	return errdefs.ErrNotImplemented
}

// Exec starts a further process and returns its pid on the host. Errors: not found
// (task); invalid argument, when the runtime refuses it, with its words.
func (s *Service) Exec(ctx context.Context, id, execID string, p *specs.Process, io Process) (pid int, err error) {
	return 0, errdefs.ErrNotImplemented
}

// SignalExec sends a signal to an exec process.
func (s *Service) SignalExec(ctx context.Context, id, execID string, sig int) error {
	return errdefs.ErrNotImplemented
}

// AttachOptions says which streams a subscriber wants.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	// CloseStdin closes the process's stdin when the subscriber shuts down its
	// writing side, or leaves.
	CloseStdin bool
}

// Stream is an attached client: reading yields raw bytes of a terminal, or frames of
// 8 bytes header (stream 1 or 2, three zeros, length big endian) and data; writing goes to stdin.
// It ends with EOF when the process's output does.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
	// File is a duplicate of the socket, for splicing.
	File() (*os.File, error)
}

// Attach subscribes to the output of an init (execID "") or exec process, from now on,
// and to its stdin. For an exec, output is held back until the first Attach. An init process can be attached to
// before it starts: Prepare.
func (s *Service) Attach(ctx context.Context, id, execID string, o AttachOptions) (Stream, error) {
	return nil, errdefs.ErrNotImplemented
}

// Prepare makes the task's stdio known before Start, so that clients can attach to a container that
// is not running yet and miss nothing. Forget undoes it.
func (s *Service) Prepare(ctx context.Context, id string, p Process) error {
	return errdefs.ErrNotImplemented
}

// Resize sets the size of the terminal, in characters.
func (s *Service) Resize(ctx context.Context, id, execID string, height, width uint) error {
	return errdefs.ErrNotImplemented
}

// Runtimes returns the runtimes that can be used, by name, and the default's name.
func (s *Service) Runtimes() (all map[string]Runtime, byDefault string) { return nil, "" }
