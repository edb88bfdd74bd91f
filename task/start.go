package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
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
	runtime, err := s.runtimes.find(spec.Runtime)
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
	filter := s.programs.key(runtime, s.runtimes.byName[runtime.Name].Version, &oci)
	compiled := s.programs.annotate(&oci, filter)
	if err := writeBundle(bundle, spec); err != nil {
		return State{}, errors.Join(err, os.RemoveAll(bundle))
	}
	fault.Point("task.start.bundle")
	request := protocol.Start{
		ID: spec.ID, Run: run, Bundle: bundle, Runtime: runtime, Stdio: spec.Process.stdio(), Rootfs: spec.Root != nil,
		Log: spec.Log, LogInfo: spec.LogInfo, ExitFile: spec.ExitFile, Cgroup: s.cgroupOf(spec.OCI),
		Argv0: argv0(spec.OCI.Process.Args), Hooks: hasPoststop(spec.OCI),
	}
	var files []*os.File
	if spec.Root != nil {
		files = []*os.File{spec.Root}
	}
	var started protocol.Started
	err = s.ask(ctx, protocol.OpStart, request, &started, files...)
	if errors.Is(err, errLinkLost) {
		started, err = s.adopted(ctx, spec.ID, run, err)
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

// adopted asks the next supervisor about a start whose answer was lost with the last one. It took over what ran,
// and has undone what did not.
func (s *Service) adopted(ctx context.Context, id string, run uint64, lost error) (started protocol.Started, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	tasks, err := s.tasks(ctx)
	if err != nil {
		return started, errors.Join(lost, err)
	}
	for _, t := range tasks {
		if t.ID == id && t.Run == run {
			return protocol.Started{Run: run, Pid: t.Pid, Started: t.Started}, nil
		}
	}
	return started, lost
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
func (s *Service) cgroupOf(spec *specs.Spec) string {
	if s.cfg.SystemdCgroup || spec.Linux == nil || !strings.HasPrefix(spec.Linux.CgroupsPath, "/") {
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

// Exec starts a further process and returns its pid on the host. It is carried through even if ctx ends.
// Errors: not found (task); already exists (execID); invalid argument, when the runtime refuses it, with its words.
func (s *Service) Exec(ctx context.Context, id, execID string, p *specs.Process, io Process) (pid int, err error) {
	ctx = context.WithoutCancel(ctx)
	if err := errors.Join(checkID(id), checkID(execID)); err != nil {
		return 0, err
	}
	process := *p
	process.Terminal = io.Terminal
	if h, w := io.ConsoleSize[0], io.ConsoleSize[1]; io.Terminal && h > 0 && w > 0 {
		process.ConsoleSize = &specs.Box{Height: h, Width: w}
	}
	data, err := json.Marshal(&process)
	if err != nil {
		return 0, err
	}
	file := filepath.Join(s.cfg.Root, protocol.BundlesName, "exec-"+execID+".json")
	if err := atomicfile.WriteVolatile(file, data, 0o600); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.Remove(file)) }()
	var started protocol.Started
	err = s.ask(ctx, protocol.OpExec, protocol.Exec{
		ID: id, Exec: execID, Process: file, Stdio: io.stdio(), Argv0: argv0(p.Args),
	}, &started)
	return started.Pid, err
}

// Attach subscribes to the output of an init (execID "") or exec process, from now on,
// and to its stdin. For an exec, output is held back until the first Attach. An init process can be attached to
// before it starts: Prepare. Errors: not found.
func (s *Service) Attach(ctx context.Context, id, execID string, o AttachOptions) (Stream, error) {
	_, files, err := s.request(ctx, protocol.OpAttach, protocol.Attach{
		Target: protocol.Target{ID: id, Exec: execID},
		Stdin:  o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, CloseStdin: o.CloseStdin,
	})
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, errors.Join(fmt.Errorf("supervisor sent %d streams", len(files)), protocol.CloseAll(files))
	}
	conn, err := net.FileConn(files[0])
	if err := errors.Join(err, files[0].Close()); err != nil {
		return nil, err
	}
	stream, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("supervisor sent no stream"), conn.Close())
	}
	return stream, nil
}

// Update changes the resource limits of a running task. Errors: not found, when it is not running.
func (s *Service) Update(ctx context.Context, id string, r *specs.LinuxResources) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.ask(ctx, protocol.OpUpdate, protocol.Update{ID: id, Resources: data}, nil)
}
