// Package protocol is what gantryd and gantry-supervisor say to one another.
//
// They speak over one Unix socket of type SOCK_SEQPACKET: a message is a JSON
// object, descriptors ride along (SCM_RIGHTS). gantryd sends requests, each
// is answered once, in any order; the supervisor also sends notices, which are
// not answered. A message that is too long for one packet travels in a memfd,
// which is then its first descriptor.
//
// The first request is Hello. A supervisor that has just begun (Fresh) waits
// with its work until Ready: before that, gantryd hands back with Restore what
// it holds of a supervisor that died.
//
// Streams of attached clients are socket pairs of their own. The supervisor
// writes raw bytes of a terminal, or frames (Frame), and reads stdin; a
// half-close is the end of stdin.
package protocol

import (
	"encoding/json"
	"time"

	"gantry/logdriver"
)

// Version is what both sides must agree on. Raise it when a message changes its meaning.
const Version = 1

// SocketName is the supervisor's socket in the exec root. Mode 0600.
const SocketName = "supervisor.sock"

// BundlesName is the directory of bundles in the exec root: a private mount of its own.
const BundlesName = "bundles"

// Requests.
const (
	OpHello      = "hello"
	OpRestore    = "restore"
	OpReady      = "ready"
	OpTasks      = "tasks"
	OpPrepare    = "prepare"
	OpForget     = "forget"
	OpStart      = "start"
	OpAck        = "acknowledge"
	OpSettled    = "settled"
	OpSignal     = "signal"
	OpSignalAll  = "signal-all"
	OpPause      = "pause"
	OpResume     = "resume"
	OpUpdate     = "update"
	OpExec       = "exec"
	OpAttach     = "attach"
	OpResize     = "resize"
	OpTold       = "told"
	OpUpgrade    = "upgrade"
	OpShutdown   = "shutdown"
	OpStatistics = "statistics"
	OpResolve    = "resolve"
	OpUnresolve  = "unresolve"
	OpRetain     = "retain"
)

// Notices.
const (
	OpExited = "exited" // Exit
	OpOOM    = "oom"    // Target
	OpKeep   = "keep"   // Held, with its descriptors
	OpDrop   = "drop"   // Held: these descriptors are to be closed
)

// Message is what a packet holds.
type Message struct {
	Seq   uint64          `json:"seq,omitempty"` // of a request and its answer; 0 for a notice
	Op    string          `json:"op,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
	Error *Error          `json:"error,omitempty"`
	Spilt bool            `json:"spilt,omitempty"` // the whole message is in the first descriptor
}

// Target names a process of a container: Exec is "" for init.
type Target struct {
	ID   string `json:"id"`
	Exec string `json:"exec,omitempty"`
	Run  uint64 `json:"run,omitempty"`
}

// Hello opens a connection.
type Hello struct {
	Version int    `json:"version"`
	CatchUp string `json:"catchUp,omitempty"` // directory for what slow subscribers have yet to read
}

// Welcome answers Hello.
type Welcome struct {
	Version int  `json:"version"`
	Pid     int  `json:"pid"`
	Fresh   bool `json:"fresh"` // Restore and Ready are awaited
}

// Descriptors that the two sides hold for one another, by name.
const (
	FileStdin   = "stdin"   // writing end
	FileStdout  = "stdout"  // reading end
	FileStderr  = "stderr"  // reading end
	FileConsole = "console" // pty master
	FileProcess = "process" // pidfd
)

// Held names descriptors of a process, in the order in which they are attached.
type Held struct {
	Target
	Names []string `json:"names"`
}

// Stdio says what a process is connected to.
type Stdio struct {
	Terminal  bool `json:"terminal,omitempty"`
	OpenStdin bool `json:"openStdin,omitempty"`
	StdinOnce bool `json:"stdinOnce,omitempty"`
	Detached  bool `json:"detached,omitempty"` // an exec that nobody will attach to
	Height    uint `json:"height,omitempty"`
	Width     uint `json:"width,omitempty"`
}

// Resolve opens a responder for name queries in a network namespace, or changes its table; the answer are its ports. OpUnresolve
// needs the sandbox alone.
type Resolve struct {
	Sandbox string          `json:"sandbox"`
	Netns   string          `json:"netns,omitempty"` // path
	Table   json.RawMessage `json:"table,omitempty"` // dns.Table
	Ports   json.RawMessage `json:"ports,omitempty"` // dns.Ports that are wanted
}

// Retain ends all responders but these.
type Retain struct {
	Sandboxes []string `json:"sandboxes"`
}

// Runtime is how to call an OCI runtime.
type Runtime struct {
	Name string   `json:"name"`
	Path string   `json:"path"`
	Args []string `json:"args,omitempty"` // before the command
	Kind string   `json:"kind,omitempty"` // KindCrun, KindRunc or "" for one that is only known by its interface
	Root string   `json:"root"`           // its state directory
}

// Runtimes whose processes may be signalled, frozen and killed without asking them.
const (
	KindCrun = "crun"
	KindRunc = "runc"
)

// Prepare makes stdio before Start.
type Prepare struct {
	ID    string `json:"id"`
	Stdio Stdio  `json:"stdio"`
}

// Start runs an init process. Its root, if Rootfs is set, is the descriptor.
type Start struct {
	ID       string         `json:"id"`
	Run      uint64         `json:"run"`
	Bundle   string         `json:"bundle"`
	Rootfs   bool           `json:"rootfs,omitempty"`
	Runtime  Runtime        `json:"runtime"`
	Stdio    Stdio          `json:"stdio"`
	Log      string         `json:"log"`
	LogInfo  logdriver.Info `json:"logInfo"`
	ExitFile string         `json:"exitFile"`
	Cgroup   string         `json:"cgroup,omitempty"` // below each hierarchy; "" when only the runtime knows
	Argv0    string         `json:"argv0"`            // for messages
	Hooks    bool           `json:"hooks,omitempty"`  // the runtime must be asked to delete, since it has to run hooks
}

// Started answers Start and Exec.
type Started struct {
	Run     uint64    `json:"run,omitempty"`
	Pid     int       `json:"pid"`
	Started time.Time `json:"started"`
}

// Exec runs a further process. Process is the file with its specification.
type Exec struct {
	ID      string `json:"id"`
	Exec    string `json:"exec"`
	Process string `json:"process"`
	Stdio   Stdio  `json:"stdio"`
	Argv0   string `json:"argv0"`
}

// Signal is sent to a process.
type Signal struct {
	Target
	Signal int `json:"signal"`
}

// Update changes limits: Resources is the OCI specification's object.
type Update struct {
	ID        string          `json:"id"`
	Resources json.RawMessage `json:"resources"`
}

// Attach subscribes. The answer carries the socket.
type Attach struct {
	Target
	Stdin      bool `json:"stdin,omitempty"`
	Stdout     bool `json:"stdout,omitempty"`
	Stderr     bool `json:"stderr,omitempty"`
	CloseStdin bool `json:"closeStdin,omitempty"`
}

// Resize sets the size of a terminal, in characters.
type Resize struct {
	Target
	Height uint `json:"height"`
	Width  uint `json:"width"`
}

// Exit is how a process ended. It is also what an exit file holds.
type Exit struct {
	ID      string    `json:"id"`             // container
	ExecID  string    `json:"exec,omitempty"` // "" for init
	Run     uint64    `json:"run"`            // of the task: tells one start of a container from the next
	Code    int       `json:"code"`           // 128+signal for a signal; 255 when it is unknown
	Unknown bool      `json:"unknown,omitempty"`
	OOM     bool      `json:"oom,omitempty"` // the kernel's OOM killer struck in this run
	At      time.Time `json:"at"`
}

// Task is one container as the supervisor knows it.
type Task struct {
	ID      string    `json:"id"`
	Run     uint64    `json:"run"`
	Pid     int       `json:"pid"`
	Started time.Time `json:"started"`
	Paused  bool      `json:"paused,omitempty"`
	Execs   []string  `json:"execs,omitempty"`
	Exited  *Exit     `json:"exited,omitempty"`
	Untold  []Exit    `json:"untold,omitempty"` // of execs
}

// Statistics are about the supervisor itself.
type Statistics struct {
	Tasks      int `json:"tasks"`
	Goroutines int `json:"goroutines"`
	Files      int `json:"files"`
}
