package enter

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Room is what a container's specification says about processes that enter it. It does not change while the container runs.
type Room struct {
	id          string
	pids        bool    // it has a PID namespace of its own
	namespaces  uintptr // CLONE_NEW... flags of the others
	filter      []byte  // instructions of a BPF program, struct sock_filter
	filterFlags uintptr
	oomScore    *int
}

// bpfAnnotation holds the compiled filter of a container that was started with one (crun 1.1).
const bpfAnnotation = "run.oci.seccomp_bpf_data"

// ReadRoom reads the specification of a container's bundle. state is the directory where the runtime keeps what it knows
// of the container. Errors: ErrUnsupported.
func ReadRoom(id, bundle, state string) (*Room, error) {
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, err
	}
	if spec.Linux == nil || spec.Linux.Personality != nil || spec.Linux.IntelRdt != nil || spec.Process == nil {
		return nil, ErrUnsupported
	}
	r := &Room{id: id, oomScore: spec.Process.OOMScoreAdj}
	if r.namespaces, err = namespaces(spec.Linux.Namespaces); err != nil {
		return nil, err
	}
	r.pids = r.namespaces&unix.CLONE_NEWPID != 0
	r.namespaces &^= unix.CLONE_NEWPID
	return r, r.readFilter(&spec, state)
}

func namespaces(list []specs.LinuxNamespace) (flags uintptr, err error) {
	for _, n := range list {
		switch n.Type {
		case specs.MountNamespace:
			flags |= unix.CLONE_NEWNS
		case specs.PIDNamespace:
			flags |= unix.CLONE_NEWPID
		case specs.NetworkNamespace:
			flags |= unix.CLONE_NEWNET
		case specs.IPCNamespace:
			flags |= unix.CLONE_NEWIPC
		case specs.UTSNamespace:
			flags |= unix.CLONE_NEWUTS
		case specs.CgroupNamespace:
			flags |= unix.CLONE_NEWCGROUP
		default: // those of users and of time ask for more
			return 0, ErrUnsupported
		}
	}
	if flags&unix.CLONE_NEWNS == 0 {
		return 0, ErrUnsupported
	}
	return flags, nil
}

func (r *Room) readFilter(spec *specs.Spec, state string) error {
	s := spec.Linux.Seccomp
	if s == nil {
		return nil
	}
	if s.ListenerPath != "" {
		return ErrUnsupported
	}
	flags := s.Flags
	if len(flags) == 0 {
		flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow} // as runtimes do
	}
	for _, f := range flags {
		switch f {
		case specs.LinuxSeccompFlagSpecAllow:
			r.filterFlags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagLog:
			r.filterFlags |= unix.SECCOMP_FILTER_FLAG_LOG
		default:
			return ErrUnsupported
		}
	}
	data, err := compiled(spec, state)
	if err != nil {
		return err
	}
	if len(data) == 0 || len(data)%instructionSize != 0 || len(data)/instructionSize > maxInstructions {
		return ErrUnsupported
	}
	r.filter = data
	return nil
}

const (
	instructionSize = 8    // of a struct sock_filter, in bytes
	maxInstructions = 4096 // BPF_MAXINSNS
)

// compiled finds the program that the container's processes run under.
func compiled(spec *specs.Spec, state string) ([]byte, error) {
	if text := spec.Annotations[bpfAnnotation]; text != "" {
		return base64.StdEncoding.DecodeString(text)
	}
	data, err := os.ReadFile(filepath.Join(state, "seccomp.bpf"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return data, err
}
