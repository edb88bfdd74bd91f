// Package enter starts a further process in a running container, without an OCI runtime: what `crun exec` does, in a
// fifth of its time.
//
// The child is a program of its own, made for the one process: a list of system calls (step), the memory that they point to,
// and a few instructions that carry them out (stub). It is started by a thread that is thrown away afterwards, waits
// until it has been put into the container's cgroups, joins the other namespaces, takes the user, the capabilities and the
// filter of the container's processes, and executes the command.
//
// What keeps a container from reaching out through the child while that is privileged: whoever traces it needs all its
// capabilities, and it is not dumpable; it holds no memory of this process; its executable is sealed (CVE-2019-5736); it
// has no descriptors but its stdio when it looks at a path of the container's, and its working directory is checked to be
// inside (CVE-2024-21626). Nothing that the container controls is used by this process itself but the master of
// a terminal, which is checked to be one. Where a process needs more than is known here, the runtime is asked: ErrUnsupported.
package enter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ErrUnsupported says that the runtime is to be asked instead. No process was left.
var ErrUnsupported = errors.New("cannot be entered without the runtime")

// Refused is the error of a process that could not be started for a reason that lies with it or the container.
type Refused struct{ Words string }

func (r *Refused) Error() string { return r.Words }

// Joiner puts a process into the cgroups of another one: *cgroup.Host.
type Joiner interface {
	Join(like, pid int) error
}

// Door enters containers.
type Door struct {
	cgroups Joiner
	code    []byte // of the child; nil where there is none for the architecture
	lastCap uintptr
}

// Open looks at the host. Errors: the kernel's.
func Open(cgroups Joiner) (*Door, error) {
	data, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, err
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, err
	}
	return &Door{cgroups: cgroups, code: stubCode(), lastCap: uintptr(last)}, nil
}

// Request is a process to start.
type Request struct {
	Room    *Room
	Init    *os.File // pidfd of the container's first process
	InitPid int
	Process *specs.Process
	Files   [3]*os.File // stdin, stdout, stderr; none is nil
}

// Start starts a process and returns its number, and the master of its terminal if it has one. It is a child of this
// process. Errors: ErrUnsupported, *Refused.
func (d *Door) Start(ctx context.Context, r Request) (pid int, terminal *os.File, err error) {
	a, err := d.prepare(r)
	if err != nil {
		return 0, nil, errors.Join(err, a.close())
	}
	result := make(chan error, 1)
	go func() {
		// The thread is not unlocked: its children are in the container's namespace. It ends with this goroutine.
		runtime.LockOSThread()
		result <- a.fork()
	}()
	if err = <-result; err == nil {
		stop := context.AfterFunc(ctx, func() { _ = a.verdicts[0].SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
		err = a.admit()
	}
	if err == nil {
		terminal, a.terminal = a.terminal, nil
	}
	if closeErr := a.close(); closeErr != nil && err == nil {
		err = fmt.Errorf("enter container: %w", closeErr)
	}
	if err != nil {
		return 0, nil, err
	}
	return a.pid, terminal, nil
}
