package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"gantry/internal/atomicfile"
	"gantry/task/protocol"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

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
	err = s.client.ask(ctx, protocol.OpExec, protocol.Exec{
		ID: id, Exec: execID, Process: file, Stdio: io.stdio(), Argv0: argv0(p.Args),
	}, &started)
	return started.Pid, err
}

// Attach subscribes to the output of an init (execID "") or exec process, from now on,
// and to its stdin. For an exec, output is held back until the first Attach. An init process can be attached to
// before it starts: Prepare. Errors: not found.
func (s *Service) Attach(ctx context.Context, id, execID string, o AttachOptions) (Stream, error) {
	_, files, err := s.client.request(ctx, protocol.OpAttach, protocol.Attach{
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
	return s.client.ask(ctx, protocol.OpUpdate, protocol.Update{ID: id, Resources: data}, nil)
}
