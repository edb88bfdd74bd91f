// Package process follows processes to their end: children of this process, and those that a
// supervisor before it left behind.
//
// A child's status is collected by the Reaper, which takes every child that
// ends, known or not. A process that was somebody else's child is followed by
// its pidfd: the kernel keeps the status of a process there after it has been
// reaped (PIDFD_GET_INFO, Linux 6.15).
package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Status is how a process ended.
type Status struct {
	Code    int  // 128+signal for a signal; 255 when it is unknown
	Unknown bool // nobody can say any more
}

// unknownCode is what is reported where nobody knows, as dockerd does.
const unknownCode = 255

// Unknown is the status of a process whose end nobody saw.
func Unknown() Status { return Status{Code: unknownCode, Unknown: true} }

func statusOf(w unix.WaitStatus) Status {
	if w.Signaled() {
		return Status{Code: 128 + int(w.Signal())}
	}
	return Status{Code: w.ExitStatus()}
}

// Process is one process, held by its pidfd: its number cannot come to mean another.
type Process struct {
	Pid   int
	Ticks uint64   // start time since boot, in clock ticks (proc_pid_stat(5), field 22); with Pid it names the process
	file  *os.File // nil for one that had ended when it was first heard of
}

// Open takes hold of a living process, or of a child that has not been collected. Errors: not found.
func Open(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("process %d: %v", pid, err))
	}
	p := &Process{Pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}
	st, err := readStat(pid)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.Ticks = st.ticks
	return p, nil
}

// Reopen is Open for a process that was seen before: a number that was given away again is not found.
func Reopen(pid int, ticks uint64) (*Process, error) {
	p, err := Open(pid)
	if err != nil {
		return nil, err
	}
	if p.Ticks != ticks {
		return nil, errors.Join(errdefs.ErrNotFound.WithMessage(fmt.Sprintf("process %d is another one", pid)), p.Close())
	}
	return p, nil
}

// Adopt takes over a pidfd that somebody else opened.
func Adopt(pid int, ticks uint64, pidfd *os.File) *Process {
	return &Process{Pid: pid, Ticks: ticks, file: pidfd}
}

// File is the pidfd; nil for a process that had ended when it was first heard of. It belongs to the Process.
func (p *Process) File() *os.File { return p.file }

// Close lets go of the process.
func (p *Process) Close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}

// Signal sends a signal. Errors: not found, when the process has ended.
func (p *Process) Signal(sig int) error {
	if p.file == nil {
		return p.gone()
	}
	var err error
	ctlErr := p.control(func(fd int) { err = unix.PidfdSendSignal(fd, unix.Signal(sig), nil, 0) })
	if err := errors.Join(ctlErr, err); err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrClosed) {
			return p.gone()
		}
		return fmt.Errorf("signal %d to process %d: %w", sig, p.Pid, err)
	}
	return nil
}

func (p *Process) gone() error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("process %d has ended", p.Pid))
}

func (p *Process) control(do func(fd int)) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { do(int(fd)) })
}

// stat is what /proc/PID/stat says.
type stat struct {
	state  byte
	parent int
	ticks  uint64
	exit   unix.WaitStatus // of a zombie
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, errdefs.ErrNotFound.WithMessage(err.Error())
	}
	return parseStat(string(data))
}

// parseStat reads proc_pid_stat(5): the command, in parentheses, may hold anything.
func parseStat(line string) (st stat, err error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	const state, parent, ticks, exit = 3, 4, 22, 52 // as the manual counts
	const first = 3
	if len(fields) <= ticks-first || len(fields[0]) != 1 {
		return st, fmt.Errorf("process status is cut short: %q", line)
	}
	st.state = fields[state-first][0]
	if st.parent, err = strconv.Atoi(fields[parent-first]); err != nil {
		return st, err
	}
	if st.ticks, err = strconv.ParseUint(fields[ticks-first], 10, 64); err != nil {
		return st, err
	}
	if len(fields) > exit-first {
		var code int
		code, err = strconv.Atoi(fields[exit-first])
		st.exit = unix.WaitStatus(code)
	}
	return st, err
}
