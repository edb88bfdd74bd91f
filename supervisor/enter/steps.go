package enter

import (
	"cmp"
	"encoding/binary"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// step is one system call of the child. An error that is not passed over ends it.
type step struct {
	what  string // for the error
	call  uintptr
	args  [6]uintptr
	want  uintptr // the result that it must have; 0 for any
	pass  uint64  // set of errors, by number, that do not matter
	slash uintptr // address of a character that must be a slash afterwards; 0 for none
}

// Descriptors of the child when it begins.
const (
	fdGateway = 3 // it waits for a byte here
	fdVerdict = 4 // stub writes there
	fdInit    = 5 // pidfd of the container's first process
)

// program is what the child does, and the memory that its steps point to.
type program struct {
	steps []step
	data  []byte // at dataAt
	err   error  // the first
}

func (p *program) add(what string, call uintptr, args ...uintptr) *step {
	p.steps = append(p.steps, step{what: what, call: call})
	s := &p.steps[len(p.steps)-1]
	copy(s.args[:], args)
	return s
}

// bytes puts data into the child's memory and returns its address, a multiple of eight.
func (p *program) bytes(data []byte) uintptr {
	at := uintptr(dataAt + len(p.data))
	p.data = append(p.data, data...)
	p.data = append(p.data, make([]byte, -len(p.data)&7)...)
	return at
}

// words puts numbers of size bytes there.
func words[T uint16 | uint32 | uint64](p *program, of ...T) uintptr {
	data, err := binary.Append(nil, binary.LittleEndian, of)
	if err != nil && p.err == nil {
		p.err = err
	}
	return p.bytes(data)
}

// text puts a string there, with a final zero.
func (p *program) text(s string) uintptr {
	if strings.IndexByte(s, 0) >= 0 && p.err == nil {
		p.err = &Refused{Words: "a string of the process has a zero byte"}
	}
	return p.bytes(append([]byte(s), 0))
}

// list puts strings there, and an array of their addresses that a zero ends.
func (p *program) list(of []string) uintptr {
	pointers := make([]uint64, len(of)+1)
	for i, s := range of {
		pointers[i] = uint64(p.text(s))
	}
	return words(p, pointers...)
}

// begin closes the child to others, waits until it is in its cgroups, and joins the container.
func (p *program) begin(room *Room) {
	p.add("close to others", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	p.add("close descriptors", unix.SYS_CLOSE_RANGE, fdInit+1, uintptr(^uint32(0)), 0) // this process may have been given some
	p.add("close on exec", unix.SYS_FCNTL, fdVerdict, unix.F_SETFD, unix.FD_CLOEXEC)
	p.add("admission", unix.SYS_READ, fdGateway, words(p, uint64(0)), 1).want = 1 // 0: nobody is there any more
	p.add("setns", unix.SYS_SETNS, fdInit, room.namespaces)
	p.add("close", unix.SYS_CLOSE, fdInit)
	p.add("close", unix.SYS_CLOSE, fdGateway)
	keyring := p.add("session keyring", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, p.text(room.id))
	keyring.pass = 1 << unix.ENOSYS
	p.add("setsid", unix.SYS_SETSID)
}

// confine takes away what the container's processes may not do. With noNewPrivileges the filter comes last; without, it
// can only be set while the process is privileged, seccomp(2).
func (p *program) confine(room *Room, of *specs.Process, lastCap uintptr) {
	if of.NoNewPrivileges {
		p.add("no new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	} else {
		p.filter(room)
	}
	bounding := bits(of.Capabilities.Bounding)
	for c := range lastCap + 1 {
		if bounding&(1<<c) == 0 {
			p.add("drop capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
		}
	}
	p.add("keep capabilities", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1)
	uid, gid, groups := uintptr(of.User.UID), uintptr(of.User.GID), of.User.AdditionalGids
	p.add("setgroups", unix.SYS_SETGROUPS, uintptr(len(groups)), words(p, groups...))
	p.add("setresgid", unix.SYS_SETRESGID, gid, gid, gid)
	p.add("setresuid", unix.SYS_SETRESUID, uid, uid, uid)
	p.capabilities(of.Capabilities)
	if of.NoNewPrivileges {
		p.filter(room)
	}
}

func (p *program) capabilities(c *specs.LinuxCapabilities) {
	header := words(p, uint32(unix.LINUX_CAPABILITY_VERSION_3), 0)
	var data []uint32
	for shift := 0; shift < 64; shift += 32 {
		for _, set := range []uint64{bits(c.Effective), bits(c.Permitted), bits(c.Inheritable)} {
			data = append(data, uint32(set>>shift))
		}
	}
	p.add("set capabilities", unix.SYS_CAPSET, header, words(p, data...))
	ambient := bits(c.Ambient)
	for i := range uintptr(64) {
		if ambient&(1<<i) != 0 {
			p.add("ambient capability", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, i)
		}
	}
}

// bits are capabilities by name as a set.
func bits(names []string) (set uint64) {
	for _, n := range names {
		if c, ok := parse(n); ok {
			set |= 1 << uint(c)
		}
	}
	return set
}

func parse(name string) (capability.Cap, bool) {
	for _, c := range capability.ListKnown() {
		if s, ok := strings.CutPrefix(name, "CAP_"); ok && strings.EqualFold(s, c.String()) {
			return c, true
		}
	}
	return 0, false
}

// known reports whether every capability has a number here.
func known(c *specs.LinuxCapabilities) bool {
	all := slices.Concat(c.Bounding, c.Effective, c.Permitted, c.Inheritable, c.Ambient)
	return !slices.ContainsFunc(all, func(name string) bool { _, ok := parse(name); return !ok })
}

func (p *program) filter(room *Room) {
	if len(room.filter) == 0 {
		return
	}
	// struct sock_fprog: the number of instructions, and their address at offset 8.
	fprog := words(p, uint64(len(room.filter)/instructionSize), uint64(p.bytes(room.filter)))
	p.add("seccomp filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, room.filterFlags, fprog)
}

func (p *program) umask(of *specs.Process) {
	umask := uint32(0o022) // as runtimes do
	if of.User.Umask != nil {
		umask = *of.User.Umask
	}
	p.add("umask", unix.SYS_UMASK, uintptr(umask))
}

// chdir changes to the working directory, and makes sure that it is inside: getcwd(2) says "(unreachable)" of others.
func (p *program) chdir(dir string) {
	p.add("chdir", unix.SYS_CHDIR, p.text(dir))
	cwd := p.bytes(make([]byte, unix.PathMax))
	p.add("chdir", unix.SYS_GETCWD, cwd, unix.PathMax).slash = cwd
}

// defaultPath is where commands are looked for by a process that has no PATH, execvp(3).
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// exec looks for the command as execvp(3) does, with the PATH of the process itself.
func (p *program) exec(of *specs.Process) {
	argv, env := p.list(of.Args), p.list(of.Env)
	paths := []string{of.Args[0]}
	if !strings.Contains(of.Args[0], "/") {
		paths = nil
		for dir := range strings.SplitSeq(cmp.Or(lookup(of.Env, "PATH"), defaultPath), ":") {
			paths = append(paths, path.Join(cmp.Or(dir, "."), of.Args[0]))
		}
	}
	for i, at := range paths {
		s := p.add("exec", unix.SYS_EXECVE, p.text(at), argv, env)
		if i < len(paths)-1 {
			s.pass = 1<<unix.ENOENT | 1<<unix.ENOTDIR | 1<<unix.EACCES
		}
	}
}

func lookup(env []string, name string) (value string) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}
