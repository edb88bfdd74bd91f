package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gantry/internal/atomicfile"
	"gantry/internal/fault"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Start runs a container's init process. The bundle is written, the runtime called
// once. It is carried through even if ctx ends. Errors: already exists; not found (runtime); invalid argument when the runtime
// refuses the specification, with its words: ExitCode tells what the container's exit code is then.
func (s *Service) Start(ctx context.Context, spec Spec) (State, error) {
	ctx = context.WithoutCancel(ctx)
	if err := checkID(spec.ID); err != nil {
		return State{}, err
	}
	runtimes := s.runtimes.Load()
	runtime, err := runtimes.find(spec.Runtime)
	if err != nil {
		return State{}, err
	}
	if spec.OCI == nil || spec.OCI.Process == nil {
		return State{}, errdefs.ErrInvalidArgument.WithMessage("specification has no process")
	}
	run := s.nextRun()
	bundle := filepath.Join(s.cfg.Root, protocol.BundlesName, fmt.Sprintf("%s-%x", spec.ID, run))
	oci := *spec.OCI
	spec.OCI = &oci
	filter := s.programs.key(runtime, runtimes.byName[runtime.Name].Version, &oci)
	compiled := s.programs.annotate(&oci, filter)
	if err := writeBundle(bundle, spec); err != nil {
		return State{}, errors.Join(err, os.RemoveAll(bundle))
	}
	fault.Point("task.start.bundle")
	request := protocol.Start{
		ID: spec.ID, Run: run, Bundle: bundle, Runtime: runtime, Stdio: spec.Process.stdio(), Rootfs: spec.Root != nil,
		Log: spec.Log, LogInfo: spec.LogInfo, ExitFile: spec.ExitFile, Cgroup: cgroupOf(spec.OCI, s.cfg.SystemdCgroup),
		Argv0: argv0(spec.OCI.Process.Args), Hooks: hasPoststop(spec.OCI),
	}
	var files []*os.File
	if spec.Root != nil {
		files = []*os.File{spec.Root}
	}
	var started protocol.Started
	err = s.client.ask(ctx, protocol.OpStart, request, &started, files...)
	if errors.Is(err, errLinkLost) {
		started, err = s.client.adopted(ctx, spec.ID, run, err)
	}
	if err != nil {
		return State{}, errors.Join(err, os.RemoveAll(bundle))
	}
	if !compiled {
		if err := s.programs.learn(filter, runtime, spec.ID); err != nil {
			s.log.Debug("seccomp filter is not kept", "container", spec.ID, "error", err)
		}
	}
	return State{ID: spec.ID, Run: run, Pid: started.Pid, Started: started.Started}, nil
}

// ExitCode is the exit code that a container or exec has whose start failed with err, as shells count:
// 127 for a command that was not found, 126 for one that cannot be run; 0 where err says nothing of it.
func ExitCode(err error) int {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.ExitCode
	}
	return 0
}

// nextRun numbers the runs of all containers, rising over restarts of this process too.
func (s *Service) nextRun() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastRun = max(s.lastRun+1, uint64(time.Now().UnixNano()))
	return s.lastRun
}

// specVersion is what every runtime accepts: crun 1.8 refuses what does not begin with 1.0, and no
// runtime looks at the version to tell which fields may be there.
const specVersion = "1.0.2"

// writeBundle makes what the runtime is given: config.json and an empty rootfs to mount on.
func writeBundle(dir string, spec Spec) error {
	oci := *spec.OCI
	oci.Version = specVersion
	if spec.Root != nil {
		root := specs.Root{}
		if oci.Root != nil {
			root = *oci.Root
		}
		root.Path = filepath.Join(dir, "rootfs")
		oci.Root = &root
	}
	if h, w := spec.Process.ConsoleSize[0], spec.Process.ConsoleSize[1]; spec.Process.Terminal && h > 0 && w > 0 {
		p := *oci.Process
		p.ConsoleSize = &specs.Box{Height: h, Width: w}
		oci.Process = &p
	}
	config, err := json.Marshal(&oci)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "rootfs"), 0o711); err != nil {
		return err
	}
	return atomicfile.WriteVolatile(filepath.Join(dir, "config.json"), config, 0o600)
}

// cgroupOf is where the runtime will put the container, if that can be said beforehand.
func cgroupOf(spec *specs.Spec, systemd bool) string {
	if systemd || spec.Linux == nil || !strings.HasPrefix(spec.Linux.CgroupsPath, "/") {
		return ""
	}
	return spec.Linux.CgroupsPath
}

func hasPoststop(spec *specs.Spec) bool { return spec.Hooks != nil && len(spec.Hooks.Poststop) > 0 }

func argv0(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
