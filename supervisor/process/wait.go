package process

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// reapWait is how long the kernel is given to tell the status of a process that is no zombie any more.
const reapWait = 2 * time.Second

// waitAdopted waits until a process that is not a child has ended. It reports Unknown where the kernel cannot
// say, and an error only when ctx ends or the Process is closed.
func (p *Process) waitAdopted(ctx context.Context) (Status, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := p.until(unix.POLLIN); err != nil {
		return Status{}, errors.Join(err, ctx.Err())
	}
	if st, ok := p.status(); ok {
		return st, nil
	}
	if err := p.file.SetReadDeadline(time.Now().Add(reapWait)); err != nil {
		return Status{}, err
	}
	// A kernel before 6.12 does not hang up: the deadline ends the wait there.
	if _, err := p.until(unix.POLLHUP); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return Status{}, err
	}
	if st, ok := p.status(); ok {
		return st, nil
	}
	return Unknown(), nil
}

// until waits for an event of the pidfd: POLLIN when the process has ended, POLLHUP when it has been collected.
func (p *Process) until(event int16) (got int16, err error) {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Read(func(fd uintptr) bool {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(set, 0); err != nil {
			return false
		}
		got = set[0].Revents
		return got&event != 0
	})
	return got, err
}

// status asks the kernel how the process ended, which answers once it has been collected, and /proc, which
// shows a zombie's status until then.
func (p *Process) status() (st Status, ok bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	var err error
	ctlErr := p.control(func(fd int) { err = unix.IoctlPidfdInfo(fd, &info) })
	if ctlErr == nil && err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
		return statusOf(unix.WaitStatus(info.Exit_code)), true
	}
	if seen, err := readStat(p.Pid); err == nil && seen.ticks == p.Ticks && seen.state == 'Z' {
		return statusOf(seen.exit), true
	}
	return Status{}, false
}
