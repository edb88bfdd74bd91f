// Package bpf compiles seccomp filters to the classic BPF programs that the kernel takes, seccomp(2).
//
// A filter is the OCI specification's: a default action and rules for system calls by name. A program
// gives the same answers as one that libseccomp makes of the filter, faster: it finds a system call by binary search. What cannot be
// translated faithfully is refused with ErrUnsupported, so that the OCI runtime does it.
package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrUnsupported is a filter that is left to the OCI runtime.
var ErrUnsupported = errors.New("seccomp filter is not supported")

// maxProgram is BPF_MAXINSNS.
const maxProgram = 4096

// Offsets in struct seccomp_data.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16 // six of 8 bytes, the lower half first on little-endian machines
)

// Program is a classic BPF program.
type Program []unix.SockFilter

// Bytes is the program as an array of struct sock_filter of this machine.
func (p Program) Bytes() []byte {
	out := make([]byte, 0, 8*len(p))
	for _, i := range p {
		out = binary.NativeEndian.AppendUint16(out, i.Code)
		out = append(out, i.Jt, i.Jf)
		out = binary.NativeEndian.AppendUint32(out, i.K)
	}
	return out
}

// Compile makes the program of a filter. native is the architecture that the filter has in any case. System calls that it does not know are
// left to the default action. Errors: ErrUnsupported.
func Compile(f *specs.LinuxSeccomp, native specs.Arch) (Program, error) {
	fallback, err := action(f.DefaultAction, f.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	byAudit := map[uint32][]segment{}
	var order []uint32
	arches := append([]specs.Arch{native}, f.Architectures...)
	for i, name := range arches {
		if slices.Contains(arches[:i], name) {
			continue
		}
		a, err := archOf(name)
		if err != nil {
			return nil, err
		}
		found, err := segments(f, a, fallback)
		if err != nil {
			return nil, err
		}
		if _, ok := byAudit[a.audit]; !ok {
			order = append(order, a.audit)
		}
		byAudit[a.audit] = append(byAudit[a.audit], found...)
	}
	hasX32 := slices.Contains(arches, specs.ArchX32)
	program := Program{load(offArch)}
	for _, audit := range order {
		segs := byAudit[audit]
		if audit == unix.AUDIT_ARCH_X86_64 && !hasX32 {
			// A system call of an ABI that is not allowed kills, but -1 is what a tracer leaves of one that it skips.
			segs = append(segs, segment{x32Bit, ret(unix.SECCOMP_RET_KILL_THREAD)}, segment{^uint32(0), ret(fallback)})
		}
		block := append(Program{load(offNumber)}, tree(merge(segs, fallback))...)
		program = append(program, jump(unix.BPF_JEQ, audit, 1, 0), always(len(block)))
		program = append(program, block...)
	}
	program = append(program, ret(unix.SECCOMP_RET_KILL_THREAD)...)
	if len(program) > maxProgram {
		return nil, fmt.Errorf("%w: %d instructions", ErrUnsupported, len(program))
	}
	return program, nil
}

// action translates what is to happen.
func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		if *errno > 0xffff { // SECCOMP_RET_DATA
			return 0, fmt.Errorf("%w: errno %d", ErrUnsupported, *errno)
		}
		data = uint32(*errno)
	}
	switch a {
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	}
	return 0, fmt.Errorf("%w: action %s", ErrUnsupported, a) // SCMP_ACT_NOTIFY needs a listener
}
