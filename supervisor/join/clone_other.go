//go:build !amd64

package join

import "syscall"

// supported: on other architectures than amd64 processes are started by the runtime.
const supported = false

func clone(flags, stack uintptr, pl *plan) (pid int, errno uintptr) {
	return -1, uintptr(syscall.ENOSYS)
}
