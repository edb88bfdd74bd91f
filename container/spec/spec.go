// Package spec turns a container's record into the OCI runtime specification of its
// process. It is pure: whatever it needs of the host comes in with the Input.
//
// Build is the list of stages; each file holds one of them. Defaults are those that
// Docker documents, so that an image finds here what it finds there.
package spec

import (
	"fmt"
	"maps"

	"gantry/container/record"
	"gantry/security"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ociVersion is the oldest version of the specification that has all that is used here: crun before 1.9
// refuses a newer one, whatever is in it.
const ociVersion = "1.0.2"

// Daemon is what the settings of the daemon and the facts of the host add to every container.
type Daemon struct {
	CgroupParent  string // "" for "docker" (cgroupfs) or "system.slice" (systemd)
	SystemdCgroup bool
	Cgroup2       bool
	DefaultUlimit map[string]*units.Ulimit
	InitPath      string // of the init binary on the host
	Init          bool   // --init for every container that does not say otherwise
	// Seccomp returns the filter for the finished specification; nil for unconfined.
	Seccomp func(*specs.Spec) (*specs.LinuxSeccomp, error)
	// Program returns the BPF program of that filter in base64, for runtimes that take one; "" or nil for none.
	Program     func(*specs.LinuxSeccomp) string
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
	// Capabilities that this process can give away; nil for what it has now.
	Capabilities []string
	// MaskedPaths of a container that does not say otherwise; nil for MaskedPaths(nil).
	MaskedPaths []string
	// RecursiveROless: this kernel cannot mount recursively read-only (before Linux 5.12).
	RecursiveROless bool
	// CDI puts devices into a finished specification; nil where the daemon has no CDI directories.
	CDI  func(spec *specs.Spec, devices []string) error
	Host Host
}

// Input is all that a specification is made of.
type Input struct {
	Record  *record.Container
	Daemon  Daemon
	User    specs.User // resolved in the root file system
	Home    string     // of the user; "" to leave HOME to the runtime
	Mounts  []Mount    // volumes, binds and tmpfs, in any order; HostConfig.Tmpfs is added here
	Netns   string     // path to join; "" for the host's network
	LinkEnv []string   // what links to other containers say of them; the container's own environment wins
	IPC     string     // path of the namespace to join, "" for what HostConfig says
	PID     string
	Shm     string // host path to bind at /dev/shm; "" for a tmpfs
	// Hosts, Hostname and ResolvConf are host paths bound over /etc; "" leaves the image's file alone.
	Hosts, Hostname, ResolvConf string
}

// Mount is one mount with its source on the host.
type Mount struct {
	record.MountPoint
	Source string // resolved; "" for tmpfs
}

// builder is a specification in the making.
type builder struct {
	Input
	options  security.Options
	spec     *specs.Spec
	warnings []string
}

// Build makes the specification. Warnings say what was clamped or dropped because this host cannot do it.
// Errors: invalid argument, in dockerd's words.
func Build(in Input) (spec *specs.Spec, warnings []string, err error) {
	options, err := security.Parse(in.Record.HostConfig.SecurityOpt)
	if err != nil {
		return nil, nil, err
	}
	b := &builder{Input: in, options: options}
	b.spec = &specs.Spec{
		Version:     ociVersion,
		Root:        &specs.Root{Path: "rootfs", Readonly: in.Record.HostConfig.ReadonlyRootfs},
		Annotations: in.Record.HostConfig.Annotations,
		Linux:       &specs.Linux{Resources: &specs.LinuxResources{}},
	}
	for _, stage := range []func() error{
		b.process, b.namespaces, b.hostname, b.sysctls, b.cgroup, limiter{b}.resources, b.devices, mountTable{b}.mounts, b.paths, b.requested, b.confine,
	} {
		if err := stage(); err != nil {
			return nil, nil, err
		}
	}
	return b.spec, b.warnings, nil
}

// confine comes last: a seccomp profile depends on what the container may do.
func (b *builder) confine() error {
	b.spec.Linux.MountLabel = b.Record.MountLabel
	if b.Daemon.Seccomp == nil {
		return nil
	}
	filter, err := b.Daemon.Seccomp(b.spec)
	b.spec.Linux.Seccomp = filter
	if err != nil || filter == nil || b.Daemon.Program == nil {
		return err
	}
	if program := b.Daemon.Program(filter); program != "" && b.spec.Annotations[programAnnotation] == "" {
		annotations := maps.Clone(b.spec.Annotations) // the record's
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[programAnnotation] = program
		b.spec.Annotations = annotations
	}
	return nil
}

// programAnnotation is where crun looks for a filter that is compiled already, crun(1).
const programAnnotation = "run.oci.seccomp_bpf_data"

func (b *builder) warn(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}

// remapped reports whether the container lives in a user namespace.
func (b *builder) remapped() bool {
	return len(b.Daemon.UIDMaps) > 0 && b.Record.HostConfig.UsernsMode.IsPrivate()
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
