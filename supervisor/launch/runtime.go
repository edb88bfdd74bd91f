package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gantry/task/protocol"

	"golang.org/x/sys/unix"
)

// answerTime bounds one call of a runtime: longer than a machine that swaps needs, shorter than for ever.
const answerTime = 2 * time.Minute

// Run starts a container and returns the number of its init process. The caller holds Reaper.Spawning
// until it has claimed that process. Errors carry the runtime's words.
func (l *Launcher) Run(ctx context.Context, s protocol.Start, io Endpoints, root *Mount) (pid int, err error) {
	pidFile := filepath.Join(s.Bundle, "init.pid")
	return l.process(ctx, call{
		runtime: s.Runtime, bundle: s.Bundle, log: filepath.Join(s.Bundle, "runtime.log"), pidFile: pidFile,
		io: io, root: root, what: creating, argv0: s.Argv0,
		args: func(console []string) []string {
			args := []string{"run", "--detach", "--bundle", s.Bundle, "--pid-file", pidFile}
			return append(append(args, console...), s.ID)
		},
	})
}

// Exec starts a further process in a container. Otherwise it is like Run.
func (l *Launcher) Exec(ctx context.Context, r protocol.Runtime, bundle string, e protocol.Exec, io Endpoints) (pid int, err error) {
	base := filepath.Join(bundle, "exec-"+e.Exec)
	return l.process(ctx, call{
		runtime: r, bundle: bundle, log: base + ".log", pidFile: base + ".pid",
		io: io, what: executing, argv0: e.Argv0,
		args: func(console []string) []string {
			args := []string{"exec", "--detach", "--process", e.Process, "--pid-file", base + ".pid"}
			return append(append(args, console...), e.ID)
		},
	})
}

// call is a runtime call that leaves a process.
type call struct {
	runtime              protocol.Runtime
	bundle, log, pidFile string
	io                   Endpoints
	root                 *Mount
	what                 operation
	argv0                string
	args                 func(console []string) []string
}

func (l *Launcher) process(ctx context.Context, c call) (pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	// The log is made here: a runtime that appends to it leaves no file behind that is not known.
	defer func() { err = errors.Join(err, removeAll(c.log, c.pidFile)) }()
	cmd := command{runtime: c.runtime, dir: c.bundle, mount: c.root, files: c.io.files()}
	var console *consoleSocket
	var consoleArgs []string
	if c.io.Terminal != nil {
		if console, err = listenConsole(c.bundle); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, console.close()) }()
		consoleArgs = []string{"--console-socket", console.path}
	}
	cmd.args = append(global(c.runtime, c.log), c.args(consoleArgs)...)
	st, err := l.run(ctx, cmd)
	if err != nil {
		return 0, err
	}
	if st.Code != 0 {
		return 0, refusal(c.what, c.runtime, readTail(c.log), c.argv0)
	}
	if pid, err = readPid(c.pidFile); err != nil {
		return 0, err
	}
	if console != nil {
		master, err := console.receive(ctx)
		if err != nil {
			return pid, err
		}
		*c.io.Terminal = master
	}
	return pid, nil
}

// global are the arguments before the command.
func global(r protocol.Runtime, log string) []string {
	args := append([]string{}, r.Args...)
	args = append(args, "--root", r.Root)
	if log != "" {
		args = append(args, "--log", log)
		if r.Kind != protocol.KindCrun { // crun's words also reach the container's stderr: plain ones read better there
			args = append(args, "--log-format", "json")
		}
	}
	return args
}

// Delete makes the runtime forget a container that has ended. An unknown one is not an error.
func (l *Launcher) Delete(ctx context.Context, r protocol.Runtime, bundle, id string) error {
	return l.plain(ctx, r, bundle, nil, "delete", "--force", id)
}

// Pause, Resume and Kill are asked of a runtime whose processes cannot be frozen or signalled from outside.
func (l *Launcher) Pause(ctx context.Context, r protocol.Runtime, bundle, id string) error {
	return l.plain(ctx, r, bundle, nil, "pause", id)
}

// Resume undoes Pause.
func (l *Launcher) Resume(ctx context.Context, r protocol.Runtime, bundle, id string) error {
	return l.plain(ctx, r, bundle, nil, "resume", id)
}

// Kill signals the init process, or all processes.
func (l *Launcher) Kill(ctx context.Context, r protocol.Runtime, bundle, id string, sig int, all bool) error {
	args := []string{"kill"}
	if all {
		args = append(args, "--all")
	}
	return l.plain(ctx, r, bundle, nil, append(args, id, strconv.Itoa(sig))...)
}

// Update changes limits; resources is the OCI specification's object as JSON.
func (l *Launcher) Update(ctx context.Context, r protocol.Runtime, bundle, id string, resources []byte) error {
	return l.plain(ctx, r, bundle, resources, "update", "--resources", "-", id)
}

// plain calls the runtime for an operation that leaves no process.
func (l *Launcher) plain(ctx context.Context, r protocol.Runtime, bundle string, stdin []byte, args ...string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	defer l.reaper.Spawning()()
	out, err := memory("runtime output", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	cmd := command{runtime: r, dir: bundle, args: append(global(r, ""), args...), files: [3]*os.File{nil, out, out}}
	if stdin != nil {
		in, err := memory("runtime input", stdin)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, in.Close()) }()
		cmd.files[0] = in
	}
	st, err := l.run(ctx, cmd)
	if err != nil || st.Code == 0 {
		return err
	}
	said, err := tail(out)
	return errors.Join(fmt.Errorf("%s %s: %s", r.Name, args[0], wordsOf(said)), err)
}

// memory is a file in memory that holds data.
func memory(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(data)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func readPid(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err == nil && pid <= 0 {
		err = fmt.Errorf("no process has the number %d", pid)
	}
	if err != nil {
		return 0, fmt.Errorf("pid file %s: %w", path, err)
	}
	return pid, nil
}

func removeAll(paths ...string) error {
	var errs []error
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
