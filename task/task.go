// Package task runs containers: it drives the OCI runtime through the supervisor.
//
// A task is the running side of a container: its init process, its stdio and its
// log. An exec is a further process in it. Both belong to gantry-supervisor, which
// outlives this process; the Service is its client and starts it when it is missing.
// A link is the connection to it. What the Service holds are copies of the supervisor's
// descriptors, which it hands to the next supervisor if this one is killed.
package task

import (
	"io"
	"os"
	"time"

	"gantry/logdriver"
	"gantry/task/protocol"

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
	Supervisor     string             // path of the gantry-supervisor binary; "" for the one beside this executable
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
	Detached    bool // an exec that nobody will attach to: its output is thrown away
}

// Spec is a task to start.
type Spec struct {
	ID       string
	OCI      *specs.Spec // Root.Path is set by the service, if Root is given
	Runtime  string      // name; "" for the default
	Root     *os.File    // a detached mount (fsmount(2), open_tree(2)); moved to the bundle's rootfs in a mount namespace of the runtime's own, so the host never sees it. The caller closes it.
	Process  Process
	Log      string // log driver name; "none" keeps nothing
	LogInfo  logdriver.Info
	ExitFile string // where the exit record is written, durably, before anyone is told
}

// Exit is how a process ended.
type Exit = protocol.Exit

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

// AttachOptions says which streams a subscriber wants.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	// CloseStdin closes the process's stdin when the subscriber shuts down its
	// writing side, or leaves.
	CloseStdin bool
}

// Stream is an attached client: reading yields raw bytes of a terminal, or frames of
// 8 bytes header (stream 1 or 2, three zeros, length big endian) and data; writing goes to stdin.
// It ends with EOF when the process's output does; by then the Handler has been told how the process ended.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
	// File is a duplicate of the socket, for splicing.
	File() (*os.File, error)
}
