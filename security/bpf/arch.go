package bpf

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:generate go run ./gen

// x32Bit marks the system calls of the x32 ABI, which share the audit number of x86-64.
const x32Bit = 0x40000000

// arch is an ABI: a number space of system calls.
type arch struct {
	audit   uint32 // seccomp_data.arch
	numbers func() map[string]uint32
	wide    bool // arguments are compared with all of their 64 bits
}

// archOf knows the ABIs of an x86-64 machine.
func archOf(name specs.Arch) (arch, error) {
	switch name {
	case specs.ArchX86_64:
		return arch{audit: unix.AUDIT_ARCH_X86_64, numbers: amd64Numbers, wide: true}, nil
	case specs.ArchX32:
		return arch{audit: unix.AUDIT_ARCH_X86_64, numbers: x32Numbers}, nil
	case specs.ArchX86:
		return arch{audit: unix.AUDIT_ARCH_I386, numbers: x86Numbers}, nil
	}
	return arch{}, fmt.Errorf("%w: architecture %s", ErrUnsupported, name)
}

var (
	amd64Numbers = sync.OnceValue(func() map[string]uint32 { return parseTable(tableAmd64) })
	x86Numbers   = sync.OnceValue(func() map[string]uint32 { return parseTable(table386) })
	x32Numbers   = sync.OnceValue(func() map[string]uint32 {
		out := map[string]uint32{}
		for name, n := range amd64Numbers() {
			out[name] = n | x32Bit
		}
		for name, n := range parseTable(x32Own) {
			out[name] = n | x32Bit
		}
		for name := range strings.SplitSeq(x32Lacks, " ") {
			delete(out, name)
		}
		return out
	})
)

func parseTable(table string) map[string]uint32 {
	out := map[string]uint32{}
	for entry := range strings.FieldsSeq(table) {
		name, number, _ := strings.Cut(entry, "=")
		n, err := strconv.ParseUint(number, 10, 30)
		if err == nil {
			out[name] = uint32(n)
		}
	}
	return out
}

// x32Own are the calls that have their own numbers in x32, and x32Lacks those that it does not have:
// arch/x86/entry/syscalls/syscall_64.tbl of Linux. Neither list grows.
const (
	x32Own = `rt_sigaction=512 rt_sigreturn=513 ioctl=514 readv=515 writev=516 recvfrom=517 sendmsg=518 recvmsg=519
execve=520 ptrace=521 rt_sigpending=522 rt_sigtimedwait=523 rt_sigqueueinfo=524 sigaltstack=525 timer_create=526
mq_notify=527 kexec_load=528 waitid=529 set_robust_list=530 get_robust_list=531 vmsplice=532 move_pages=533
preadv=534 pwritev=535 rt_tgsigqueueinfo=536 recvmmsg=537 sendmmsg=538 process_vm_readv=539 process_vm_writev=540
setsockopt=541 getsockopt=542 io_setup=543 io_submit=544 execveat=545 preadv2=546 pwritev2=547`
	x32Lacks = "uselib _sysctl create_module get_kernel_syms query_module nfsservctl set_thread_area get_thread_area " +
		"epoll_ctl_old epoll_wait_old vserver"
)

// Two calls of x86 stand for many: socketcall(2) and ipc(2), whose first argument says which. Programs
// use either these or the direct calls, so a rule for the latter holds for the former.
var (
	socketCalls = parseMux(`socket=1 bind=2 connect=3 listen=4 accept=5 getsockname=6 getpeername=7 socketpair=8 send=9
recv=10 sendto=11 recvfrom=12 shutdown=13 setsockopt=14 getsockopt=15 sendmsg=16 recvmsg=17 accept4=18 recvmmsg=19 sendmmsg=20`)
	ipcCalls = parseMux(`semop=1 semget=2 semctl=3 semtimedop=4 msgsnd=11 msgrcv=12 msgget=13 msgctl=14 shmat=21 shmdt=22 shmget=23 shmctl=24`)
)

func parseMux(table string) func() map[string]uint32 {
	return sync.OnceValue(func() map[string]uint32 { return parseTable(table) })
}
