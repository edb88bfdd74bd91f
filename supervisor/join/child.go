package join

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The hooks that package syscall has for forking, which the runtime keeps available to others: signals are blocked between them.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// stackSize is more than the child's steps need, in bytes.
const stackSize = 32 << 10

// fork makes the child. The caller's thread is in the container's namespaces already, and the caller keeps the plan until the child has
// closed the pipe that it reports to: it uses this process's memory until then. A copy of the memory would cost a hundred times as
// much, since every page that either side writes to afterwards has to be copied.
//
//go:norace
//go:nocheckptr
//go:noinline
func (pl *plan) fork() (pid int, errno syscall.Errno) {
	pl.stack = make([]byte, stackSize)
	top := uintptr(unsafe.Pointer(&pl.stack[stackSize-1])) &^ 15
	beforeFork()
	pid, failed := clone(uintptr(syscall.SIGCHLD)|syscall.CLONE_VM, top, pl)
	afterFork()
	return pid, syscall.Errno(failed)
}

// child runs in the new process, with no scheduler and no more stack than it was given: it calls the kernel, touches the plan,
// and nothing else. The order of its steps is that of runtimes: a seccomp filter needs CAP_SYS_ADMIN unless
// no_new_privs is set, and a directory that only root can enter is entered as root.
//
//go:norace
//go:nosplit
//go:nocheckptr
//go:noinline
func (pl *plan) child() {
	pl.result.stage = stageGate
	errno := pl.await()
	if errno == 0 {
		errno = pl.detach()
	}
	if errno == 0 && !pl.noNewPrivileges {
		errno = pl.confine()
	}
	if errno == 0 {
		errno = pl.become()
	}
	if errno == 0 && pl.noNewPrivileges {
		errno = pl.confine()
	}
	if errno == 0 {
		errno = pl.execute()
	}
	pl.result.errno = int32(errno)
	syscall.RawSyscall(syscall.SYS_WRITE, uintptr(pl.report), uintptr(unsafe.Pointer(&pl.result)), uintptr(outcomeSize))
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 255, 0, 0)
	}
}

// await reads the parent's word that limits are set. The thread that has forked lives until then, so that a supervisor that
// dies takes the child along.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (pl *plan) await() syscall.Errno {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	for sig := uintptr(1); sig <= 64; sig++ { // the handlers are this program's; two signals have none, which is an error
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&pl.byDefault)), 0, 8, 0, 0)
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&pl.unblocked)), 0, 8, 0, 0)
	syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(pl.word), 0, 0) // this copy of the other end would keep the pipe open
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(pl.gate), uintptr(unsafe.Pointer(&pl.cwd[0])), 1)
	if errno == 0 && n != 1 {
		return syscall.EPIPE
	}
	if errno != 0 {
		return errno
	}
	_, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_PDEATHSIG, 0, 0, 0, 0, 0)
	return errno
}

// detach gives the process a session, stdio and a keyring of its own, and closes all else but the pipe that reports.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (pl *plan) detach() syscall.Errno {
	pl.result.stage = stageSession
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0); errno != 0 {
		return errno
	}
	if pl.terminal {
		pl.result.stage = stageTerminal
		if _, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(pl.stdio[0]), unix.TIOCSCTTY, 0); errno != 0 {
			return errno
		}
	}
	pl.result.stage = stageStdio
	for i := range pl.stdio {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_DUP3, uintptr(pl.stdio[i]), uintptr(i), 0); errno != 0 {
			return errno
		}
	}
	// Closed, not marked: no path of the container may lead through a descriptor of the host (CVE-2024-21626).
	pl.result.stage = stageDescriptors
	if pl.report > 3 {
		if _, _, errno := syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 3, uintptr(pl.report-1), 0); errno != 0 {
			return errno
		}
	}
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(pl.report+1), uintptr(^uint32(0)), 0); errno != 0 {
		return errno
	}
	pl.result.stage = stageKeyring
	if _, _, errno := syscall.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0); errno != 0 && errno != syscall.ENOSYS {
		return errno
	}
	return 0
}

// confine loads the seccomp filter.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (pl *plan) confine() syscall.Errno {
	pl.result.stage = stageSeccomp
	if pl.noNewPrivileges {
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
			return errno
		}
	}
	if pl.filter == nil {
		return 0
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, pl.filterFlags, uintptr(unsafe.Pointer(pl.filter)))
	return errno
}

// become gives up capabilities, changes the user, and enters the directory.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (pl *plan) become() syscall.Errno {
	pl.result.stage = stageBounding
	for c := uintptr(0); c < 64; c++ {
		if pl.bounding&(1<<c) != 0 {
			continue
		}
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0, 0)
		if errno == syscall.EINVAL {
			break // this kernel has no more
		}
		if errno != 0 {
			return errno
		}
	}
	syscall.RawSyscall(syscall.SYS_UMASK, uintptr(pl.umask), 0, 0)
	_, _, entered := syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(pl.dir)), 0, 0)
	pl.result.stage = stageUser
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	groups := unsafe.Pointer(nil)
	if len(pl.groups) > 0 {
		groups = unsafe.Pointer(&pl.groups[0])
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(pl.groups)), uintptr(groups), 0); errno != 0 {
		return errno
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(pl.gid), uintptr(pl.gid), uintptr(pl.gid)); errno != 0 {
		return errno
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(pl.uid), uintptr(pl.uid), uintptr(pl.uid)); errno != 0 {
		return errno
	}
	pl.result.stage = stageDirectory
	if entered != 0 { // root was not let in where the user is, on a network file system for one
		if _, _, errno := syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(pl.dir)), 0, 0); errno != 0 {
			return errno
		}
	}
	if !pl.inside() {
		pl.result.stage = stageOutside
		return syscall.EXDEV
	}
	return pl.limit()
}

// inside reports whether the directory is below the container's root: a path through /proc can lead to that of another process.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (pl *plan) inside() bool {
	n, _, errno := syscall.RawSyscall(syscall.SYS_GETCWD, uintptr(unsafe.Pointer(&pl.cwd[0])), unix.PathMax, 0)
	return errno == 0 && n > 0 && pl.cwd[0] == '/'
}

// limit sets the capabilities.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (pl *plan) limit() syscall.Errno {
	pl.result.stage = stageCapabilities
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&pl.header)), uintptr(unsafe.Pointer(&pl.capabilities[0])), 0); errno != 0 {
		return errno
	}
	for c := uintptr(0); c < 64; c++ {
		if pl.ambient&(1<<c) == 0 {
			continue
		}
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0, 0); errno != 0 {
			return errno
		}
	}
	return 0
}

// execute tries the candidates in turn: one that may not be executed does not keep a later one from it.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (pl *plan) execute() syscall.Errno {
	pl.result.stage = stageExecute
	last := syscall.ENOENT
	for i := range pl.candidates {
		_, _, errno := syscall.RawSyscall(syscall.SYS_EXECVE,
			uintptr(unsafe.Pointer(pl.candidates[i])), uintptr(unsafe.Pointer(&pl.argv[0])), uintptr(unsafe.Pointer(&pl.envv[0])))
		switch {
		case errno == syscall.EACCES:
			last = errno
			const here = ^uintptr(99) // AT_FDCWD, -100
			if _, _, failed := syscall.RawSyscall6(syscall.SYS_NEWFSTATAT, here, uintptr(unsafe.Pointer(pl.candidates[i])),
				uintptr(unsafe.Pointer(&pl.stat)), 0, 0, 0); failed == 0 {
				pl.result.mode = pl.stat.Mode
			}
		case errno != syscall.ENOENT && errno != syscall.ENOTDIR:
			return errno
		case last == syscall.ENOENT:
			last = errno
		}
	}
	return last
}
