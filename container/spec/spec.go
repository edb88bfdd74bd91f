// Package spec turns a container's record into the OCI runtime specification of its
// process. It is pure: whatever it needs of the host comes in with the Input.
package spec

import (
	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Daemon is what the settings of the daemon and the facts of the host add to every container.
type Daemon struct {
	CgroupParent  string // "" for "docker" (cgroupfs) or "system.slice" (systemd)
	SystemdCgroup bool
	Cgroup2       bool
	DefaultUlimit map[string]*units.Ulimit
	InitPath      string // of the init binary on the host
	Init          bool   // --init for every container that does not say otherwise
	// Seccomp returns the filter for the finished specification; nil for unconfined.
	Seccomp     func(*specs.Spec) (*specs.LinuxSeccomp, error)
	ShmSize     int64 // bytes
	NoNewPrivs  bool
	RootUID     int // owner of id 0 on the host, userns-remap
	RootGID     int
	UIDMaps     []specs.LinuxIDMapping // userns-remap
	GIDMaps     []specs.LinuxIDMapping
	HardNofile  uint64 // what this process may raise RLIMIT_NOFILE to, 0 for any: beyond it a ulimit is clamped
	HardNproc   uint64
	MinOOMScore int // what oom_score_adj cannot be lowered below without CAP_SYS_RESOURCE
	CPURealtime bool
}

// Input is all that a specification is made of.
type Input struct {
	Record *record.Container
	Daemon Daemon
	User   specs.User // resolved in the root file system
	Home   string     // of the user; "" to leave HOME to the runtime
	Mounts []Mount    // volumes, binds and tmpfs, in any order
	Netns  string     // path to join; "" for the host's network
	IPC    string     // path of the namespace to join, "" for what HostConfig says
	PID    string
	Shm    string // host path to bind at /dev/shm; "" for a tmpfs
	// Hosts, Hostname and ResolvConf are host paths bound over /etc; "" leaves the image's file alone.
	Hosts, Hostname, ResolvConf string
	Hugepages                   []string // sizes of the host, "2MB"
}

// Mount is one mount with its source on the host.
type Mount struct {
	record.MountPoint
	Source string // resolved; "" for tmpfs
}

// Build makes the specification. Warnings say what was clamped or dropped because this host cannot do it.
// Errors: invalid argument, in dockerd's words.
func Build(in Input) (spec *specs.Spec, warnings []string, err error) {
	return nil, nil, errdefs.ErrNotImplemented
}

// Process makes the process of an exec from that of the container. Errors: invalid argument.
func Process(in Input, o ExecOptions) (*specs.Process, error) { return nil, errdefs.ErrNotImplemented }

// ExecOptions say how an exec differs from the container's own process.
type ExecOptions struct {
	Args       []string
	Env        []string // added to the container's
	Dir        string   // "" for the container's
	User       specs.User
	Home       string
	Terminal   bool
	Size       [2]uint // height, width
	Privileged bool
}
