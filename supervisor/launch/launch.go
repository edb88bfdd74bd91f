// Package launch calls OCI runtimes.
//
// A runtime is started from a thread with a mount namespace of its own, so that what is
// put there is seen by the runtime and the container and never by the host: the
// root file system of the container, and, where crun asks for it, a cgroup file system without its
// unified half. The namespace is gone when the last of them is.
package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"gantry/internal/fdpass"
	"gantry/supervisor/process"
	"gantry/task/protocol"

	"golang.org/x/sys/unix"
)

// cgroupRoot is where the host has its cgroup file systems.
const cgroupRoot = "/sys/fs/cgroup"

// Launcher starts runtimes.
type Launcher struct {
	reaper *process.Reaper
	hybrid string // directory of the unified hierarchy beside v1 ones; "" on other hosts
	null   *os.File
	env    []string
}

// New looks at the host. Children are collected by reaper.
func New(reaper *process.Reaper) (*Launcher, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &Launcher{reaper: reaper, hybrid: unifiedBesideV1(), null: null, env: environment()}, nil
}

// environment is what runtimes are given of this process's variables. NOTIFY_SOCKET and LISTEN_FDS, which systemd sets
// for gantryd, would make them do things that are not meant for them.
func environment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Close lets go of what New opened.
func (l *Launcher) Close() error { return l.null.Close() }

// Files are a process's sides of its stdio, the null device where there is none.
func (l *Launcher) Files(io Endpoints) [3]*os.File {
	files := io.files()
	for i, f := range files {
		if f == nil {
			files[i] = l.null
		}
	}
	return files
}

// unifiedBesideV1 finds the v2 hierarchy of a host where v1 ones do the work.
func unifiedBesideV1() string {
	const dir = cgroupRoot + "/unified"
	var root, unified unix.Statfs_t
	if unix.Statfs(cgroupRoot, &root) != nil || root.Type == unix.CGROUP2_SUPER_MAGIC {
		return ""
	}
	if unix.Statfs(dir, &unified) != nil || unified.Type != unix.CGROUP2_SUPER_MAGIC {
		return ""
	}
	return dir
}

// Mount is a detached mount and where the runtime is to find it.
type Mount struct {
	Tree *os.File
	At   string
}

// command is one call of a runtime.
type command struct {
	runtime protocol.Runtime
	dir     string
	args    []string
	files   [3]*os.File // stdin, stdout, stderr; nil for the null device
	mount   *Mount
}

// run starts the runtime and waits for its end. The caller holds Reaper.Spawning. The runtime is never
// left half way: ctx does not end it.
func (l *Launcher) run(ctx context.Context, c command) (process.Status, error) {
	type started struct {
		pid int
		err error
	}
	result := make(chan started, 1)
	go func() {
		// The thread is not unlocked: it ends with this goroutine, and its mount namespace with the
		// runtime and the container.
		runtime.LockOSThread()
		pid, err := l.fork(c)
		result <- started{pid, err}
	}()
	got := <-result
	if got.err != nil {
		return process.Status{}, got.err
	}
	select {
	case st := <-l.reaper.Claim(got.pid):
		l.reaper.Dealt()
		return st, nil
	case <-ctx.Done():
		_ = unix.Kill(got.pid, unix.SIGKILL) // not collected yet, as far as is known here
		return process.Status{}, fmt.Errorf("runtime %s does not answer: %w", c.runtime.Name, ctx.Err())
	}
}

// fork runs on a thread of its own.
func (l *Launcher) fork(c command) (pid int, err error) {
	if c.mount != nil || l.hides(c.runtime) {
		if err := l.private(c); err != nil {
			return 0, err
		}
	}
	fds := make([]uintptr, len(c.files))
	for i, f := range c.files {
		if f == nil {
			f = l.null
		}
		fd, err := fdpass.Number(f)
		if err != nil {
			return 0, err
		}
		fds[i] = uintptr(fd)
	}
	argv := append([]string{c.runtime.Path}, c.args...)
	pid, err = syscall.ForkExec(c.runtime.Path, argv, &syscall.ProcAttr{Dir: c.dir, Env: l.env, Files: fds})
	runtime.KeepAlive(c.files)
	if err != nil {
		return 0, fmt.Errorf("start runtime %s: %w", c.runtime.Path, err)
	}
	return pid, nil
}

// hides reports whether the unified hierarchy is to be hidden: crun up to 1.x refuses limits where both are
// ("cgroups in hybrid mode not supported").
func (l *Launcher) hides(r protocol.Runtime) bool {
	return l.hybrid != "" && r.Kind == protocol.KindCrun
}

// private gives this thread a mount namespace and arranges it.
func (l *Launcher) private(c command) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	if l.hides(c.runtime) {
		if err := l.hideUnified(); err != nil {
			return err
		}
	}
	if c.mount == nil {
		return nil
	}
	fd, err := fdpass.Number(c.mount.Tree)
	if err != nil {
		return err
	}
	err = unix.MoveMount(fd, "", unix.AT_FDCWD, c.mount.At, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("mount root file system at %s: %w", c.mount.At, err)
	}
	return nil
}

func (l *Launcher) hideUnified() error {
	err := unix.Mount("", cgroupRoot, "", unix.MS_PRIVATE, "")
	if err == unix.EINVAL {
		return nil // not a mount point: the host's layout is not the usual one, and the runtime will say what it minds
	}
	if err == nil {
		err = unix.Unmount(l.hybrid, unix.MNT_DETACH)
	}
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("hide %s: %w", l.hybrid, err)
	}
	return nil
}
