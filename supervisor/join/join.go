// Package join starts a further process in a running container without an OCI runtime.
//
// What a runtime's exec spends its time on is starting itself and reading what it wrote. Here a thread of the supervisor
// enters the container's namespaces and forks; the child waits until its cgroups and limits are set, gives up what the
// process may not have, and executes it:
//
//	supervisor            a thread of its own          child
//	                      setns, terminal, clone ────▶ waits
//	cgroups, limits, OOM score ─────── "go" ─────────▶ session, stdio, capabilities, user, directory, seccomp, execve
//	reads where it failed, or nothing ◀─────────────── the pipe closes at execve
//
// Until execve the child is a process that runs in the supervisor's memory, and that the container's processes can see. They cannot look into
// it: the supervisor is not dumpable, so that they would need CAP_SYS_PTRACE, and a container that has that capability is not
// joined but left to its runtime (Possible). The same goes for what needs files that only the process itself can write in its
// own /proc: AppArmor and SELinux labels.
package join

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Container is what has to be known of a container to join it.
type Container struct {
	seccomp []unix.SockFilter // nil for none
	flags   uintptr           // of seccomp(2)
}

// bpfAnnotation carries the seccomp program that crun loads as it is, in base64: crun(1).
const bpfAnnotation = "run.oci.seccomp_bpf_data"

// Read reads the specification of a bundle. It returns nil for a container that only its runtime can start processes in: one with a
// user namespace, with labels of a security module, with a seccomp profile that is not compiled, or with CAP_SYS_PTRACE.
func Read(bundle string) (*Container, error) {
	f, err := os.Open(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	var spec specs.Spec
	if err := errors.Join(json.NewDecoder(f).Decode(&spec), f.Close()); err != nil {
		return nil, fmt.Errorf("specification of bundle %s: %w", bundle, err)
	}
	if !joinable(&spec) {
		return nil, nil
	}
	c := &Container{}
	if text := spec.Annotations[bpfAnnotation]; text != "" {
		if c.seccomp, err = decodeProgram(text); err != nil {
			return nil, fmt.Errorf("seccomp program of bundle %s: %w", bundle, err)
		}
	}
	if spec.Linux.Seccomp != nil {
		for _, f := range spec.Linux.Seccomp.Flags {
			c.flags |= filterFlags[f]
		}
	}
	return c, nil
}

var filterFlags = map[specs.LinuxSeccompFlag]uintptr{
	specs.LinuxSeccompFlagLog:       unix.SECCOMP_FILTER_FLAG_LOG,
	specs.LinuxSeccompFlagSpecAllow: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
}

func joinable(s *specs.Spec) bool {
	p, l := s.Process, s.Linux
	if p == nil || l == nil || p.ApparmorProfile != "" || p.SelinuxLabel != "" || l.Seccomp != nil && s.Annotations[bpfAnnotation] == "" {
		return false
	}
	if s := l.Seccomp; s != nil && s.ListenerPath != "" {
		return false
	}
	return !Traces(p) && !slices.ContainsFunc(l.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.UserNamespace || n.Type == specs.TimeNamespace
	})
}

// Possible reports whether a process can be started by Start; if not, by the runtime.
func Possible(p *specs.Process) bool {
	return supported && p.ApparmorProfile == "" && p.SelinuxLabel == "" && p.Scheduler == nil && p.IOPriority == nil && p.ExecCPUAffinity == nil &&
		!Traces(p) && len(p.Args) > 0 && strings.HasPrefix(p.Cwd, "/")
}

// Harden keeps the container's processes from looking into children of this process that join it. Call it once, before Start.
func Harden() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// Traces reports whether a process could look into others that join its container.
func Traces(p *specs.Process) bool {
	c := p.Capabilities
	return c == nil || slices.Contains(c.Bounding, "CAP_SYS_PTRACE") || slices.Contains(c.Effective, "CAP_SYS_PTRACE")
}

// decodeProgram reads struct sock_filter, seccomp(2), in this machine's byte order.
func decodeProgram(text string) ([]unix.SockFilter, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	const size = 8
	if len(data) == 0 || len(data)%size != 0 || len(data)/size > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("%d bytes are no program", len(data))
	}
	program := make([]unix.SockFilter, len(data)/size)
	for i := range program {
		b := data[i*size:]
		program[i] = unix.SockFilter{Code: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:])}
	}
	return program, nil
}
