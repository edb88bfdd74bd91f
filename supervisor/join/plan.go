package join

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// plan is all that the child does, in memory that is there before it: it can do
// system calls and nothing else.
type plan struct {
	gate, word int    // the ends of the pipe that the child waits at
	report     int    // the write end of the pipe that it reports to
	stdio      [3]int // copied to 0, 1 and 2
	terminal   bool   // stdio is the process's controlling terminal

	umask           int
	groups          []uint32
	uid, gid        int
	dir             *byte
	bounding        uint64 // sets of capabilities, a bit each
	header          unix.CapUserHeader
	capabilities    [2]unix.CapUserData
	ambient         uint64
	noNewPrivileges bool
	filter          *unix.SockFprog // nil for none
	filterFlags     uintptr

	candidates []*byte // what to execute, the first that is there; zero-terminated strings
	argv, envv []*byte // end with nil

	byDefault [4]uint64 // struct sigaction of the kernel, all zero: SIG_DFL
	unblocked uint64    // a mask of signals, none
	stack     []byte
	cwd       [unix.PathMax]byte // scratch
	stat      unix.Stat_t        // scratch
	result    outcome
}

// outcome is what the child reports of a failure.
type outcome struct {
	stage int32
	errno int32
	mode  uint32 // of what could not be executed, st_mode
}

const outcomeSize = int(unsafe.Sizeof(outcome{}))

// The stages at which the child can fail.
const (
	stageGate int32 = iota + 1
	stageSession
	stageTerminal
	stageStdio
	stageDescriptors
	stageKeyring
	stageSeccomp
	stageBounding
	stageUser
	stageDirectory
	stageOutside
	stageCapabilities
	stageExecute
)

var stageNames = map[int32]string{
	stageGate: "wait for limits", stageSession: "start a session", stageTerminal: "take the terminal", stageStdio: "connect stdio",
	stageDescriptors: "close descriptors", stageKeyring: "join a session keyring", stageSeccomp: "load the seccomp filter",
	stageBounding: "drop capabilities", stageUser: "change the user", stageCapabilities: "set capabilities",
}

// defaultPath is where a program without a slash is looked for if the process has no PATH: as runtimes have it.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// newPlan makes the plan of a process; descriptors are the caller's to fill in. Errors: a zero byte in a string, an unknown capability.
func newPlan(c *Container, p *specs.Process) (*plan, error) {
	pl := &plan{umask: 0o022, uid: int(p.User.UID), gid: int(p.User.GID), noNewPrivileges: p.NoNewPrivileges, terminal: p.Terminal}
	if p.User.Umask != nil {
		pl.umask = int(*p.User.Umask)
	}
	pl.groups = append([]uint32{}, p.User.AdditionalGids...)
	if err := pl.setCapabilities(p.Capabilities); err != nil {
		return nil, err
	}
	if c.seccomp != nil {
		pl.filter = &unix.SockFprog{Len: uint16(len(c.seccomp)), Filter: &c.seccomp[0]}
		pl.filterFlags = c.flags
	}
	var err error
	if pl.dir, err = syscall.BytePtrFromString(p.Cwd); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	if pl.candidates, err = bytePointers(candidates(p)); err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	if pl.argv, err = syscall.SlicePtrFromStrings(p.Args); err != nil {
		return nil, fmt.Errorf("arguments: %w", err)
	}
	if pl.envv, err = syscall.SlicePtrFromStrings(p.Env); err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	return pl, nil
}

func bytePointers(list []string) ([]*byte, error) {
	out := make([]*byte, len(list))
	for i, s := range list {
		p, err := syscall.BytePtrFromString(s)
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// candidates are the paths at which the program may be, seen from inside.
func candidates(p *specs.Process) []string {
	name := p.Args[0]
	if strings.Contains(name, "/") {
		return []string{name}
	}
	search := ""
	for _, v := range p.Env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			search = value
		}
	}
	var out []string
	for dir := range strings.SplitSeq(cmp.Or(search, defaultPath), ":") {
		out = append(out, path.Join(cmp.Or(dir, "."), name))
	}
	return out
}

func (pl *plan) setCapabilities(c *specs.LinuxCapabilities) error {
	sets := map[*uint64][]string{&pl.bounding: c.Bounding, &pl.ambient: c.Ambient}
	var effective, permitted, inheritable uint64
	sets[&effective], sets[&permitted], sets[&inheritable] = c.Effective, c.Permitted, c.Inheritable
	for set, names := range sets {
		for _, name := range names {
			number, known := capabilityNumbers[name]
			if !known {
				return fmt.Errorf("unknown capability %q", name)
			}
			*set |= 1 << number
		}
	}
	pl.header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	for i := range pl.capabilities {
		shift := 32 * i
		pl.capabilities[i] = unix.CapUserData{
			Effective: uint32(effective >> shift), Permitted: uint32(permitted >> shift), Inheritable: uint32(inheritable >> shift),
		}
	}
	return nil
}

// failure puts an outcome into the words that runtimes have for it.
func (pl *plan) failure(o outcome, p *specs.Process) string {
	errno := syscall.Errno(o.errno)
	name := p.Args[0]
	switch {
	case o.stage == stageOutside:
		return "current working directory is outside of container mount namespace root -- possible container breakout detected"
	case o.stage == stageDirectory:
		return fmt.Sprintf("chdir to cwd (%q) set in config.json failed: %v", p.Cwd, errno)
	case o.stage != stageExecute:
		return fmt.Sprintf("%s: %v", stageNames[o.stage], errno)
	case (errno == unix.ENOENT || errno == unix.ENOTDIR) && !strings.Contains(name, "/"):
		return fmt.Sprintf("exec: %q: executable file not found in $PATH", name)
	case errno == unix.ENOENT || errno == unix.ENOTDIR:
		return fmt.Sprintf("exec: %q: stat %s: %v", name, name, errno)
	case errno == unix.EACCES && os.FileMode(o.mode)&unix.S_IFMT == unix.S_IFDIR:
		return fmt.Sprintf("exec: %q: is a directory: permission denied", name)
	case errno == unix.EACCES:
		return fmt.Sprintf("exec: %q: permission denied", name)
	}
	return fmt.Sprintf("exec %s: %v", name, errno)
}
