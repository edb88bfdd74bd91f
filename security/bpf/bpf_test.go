package bpf_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"gantry/security/bpf"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// data is struct seccomp_data.
type data struct {
	number, arch uint32
	args         [6]uint64
}

// run is the kernel's interpreter, as far as programs need it. It counts instructions.
func run(t testing.TB, p bpf.Program, d data) (result uint32, steps int) {
	t.Helper()
	var words [16]uint32
	words[0], words[1] = d.number, d.arch
	for i, a := range d.args {
		words[4+2*i], words[5+2*i] = uint32(a), uint32(a>>32)
	}
	var acc uint32
	for pc := 0; ; pc++ {
		i := p[pc]
		steps++
		taken := false
		switch i.Code {
		case unix.BPF_RET | unix.BPF_K:
			return i.K, steps
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = words[i.K/4]
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= i.K
			continue
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(i.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			taken = acc == i.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			taken = acc > i.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			taken = acc >= i.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			taken = acc&i.K != 0
		default:
			t.Fatalf("instruction %#x at %d", i.Code, pc)
		}
		if taken {
			pc += int(i.Jt)
		} else {
			pc += int(i.Jf)
		}
	}
}

func docker(t testing.TB, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	f, err := seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func compile(t testing.TB, f *specs.LinuxSeccomp) bpf.Program {
	t.Helper()
	p, err := bpf.Compile(f, specs.ArchX86_64)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func rule(act specs.LinuxSeccompAction, name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: act, Args: args}
}

func arg(index uint, op specs.LinuxSeccompOperator, value, second uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: value, ValueTwo: second, Op: op}
}

// operators has every operator on both sides of the 32-bit boundary, several conditions, alternatives and errnos.
func operators() *specs.LinuxSeccomp {
	errno := uint(77)
	f := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &errno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}}
	names := []string{"read", "write", "close", "fstat", "lseek", "mmap", "mprotect", "brk", "pipe", "select", "dup", "dup2", "getitimer", "alarm"}
	for i, op := range []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual} {
		f.Syscalls = append(f.Syscalls, rule(specs.ActAllow, names[2*i], arg(1, op, 0x1_0000_0005, 0)), rule(specs.ActAllow, names[2*i+1], arg(5, op, 7, 0)))
	}
	f.Syscalls = append(f.Syscalls,
		rule(specs.ActAllow, names[12], arg(0, specs.OpMaskedEqual, 0xff00ff00ff00ff00, 0x1200340056007800)),
		rule(specs.ActAllow, names[13], arg(0, specs.OpEqualTo, 1, 0), arg(0, specs.OpEqualTo, 2, 0)),
		rule(specs.ActAllow, "socket", arg(0, specs.OpEqualTo, 1, 0), arg(1, specs.OpEqualTo, 2, 0)),
		rule(specs.ActAllow, "shmget"), rule(specs.ActAllow, "bind"), rule(specs.ActErrno, "chdir"), rule(specs.ActTrap, "uname"),
		rule(specs.ActKillProcess, "kexec_load"), rule(specs.ActKill, "reboot"), rule(specs.ActLog, "getpid"), rule(specs.ActTrace, "getppid"),
		rule(specs.ActAllow, "no_such_call"), rule(specs.ActAllow, "chown32"))
	for i := range f.Syscalls {
		if f.Syscalls[i].Names[0] == "getppid" {
			f.Syscalls[i].ErrnoRet = &errno
		}
	}
	return f
}

// theirs is the program that crun makes of a filter with libseccomp: it leaves it in its state directory.
func theirs(t *testing.T, f *specs.LinuxSeccomp) bpf.Program {
	t.Helper()
	for _, program := range []string{"crun", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("machine has no " + program)
		}
	}
	bundle := t.TempDir()
	spec := specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: []string{"/none"}, Cwd: "/", NoNewPrivileges: true},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux:   &specs.Linux{Seccomp: f, Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}}},
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.MkdirAll(filepath.Join(bundle, "rootfs/dev"), 0o755),
		os.Mkdir(filepath.Join(bundle, "rootfs/proc"), 0o755),
		os.WriteFile(filepath.Join(bundle, "rootfs/none"), []byte("#!"), 0o755),
		os.WriteFile(filepath.Join(bundle, "config.json"), raw, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	id := "bpf-test-" + filepath.Base(filepath.Dir(bundle))
	script := `cd /sys/fs/cgroup/unified 2>/dev/null && mount -t tmpfs none . ; exec crun --cgroup-manager=disabled "$@"`
	root := filepath.Join(bundle, "state")
	crun := func(args ...string) ([]byte, error) {
		all := append([]string{"-m", "sh", "-c", script, "sh", "--root", root}, args...)
		cmd := exec.CommandContext(t.Context(), "unshare", all...)
		// A file, since the container's process keeps it open.
		said, err := os.Create(filepath.Join(bundle, "said"))
		if err != nil {
			return nil, err
		}
		cmd.Stdout, cmd.Stderr = said, said
		err = errors.Join(cmd.Run(), said.Close())
		text, readErr := os.ReadFile(said.Name())
		return text, errors.Join(err, readErr)
	}
	if out, err := crun("create", "--bundle", bundle, id); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	code, readErr := os.ReadFile(filepath.Join(root, id, "seccomp.bpf"))
	if out, err := crun("delete", "--force", id); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if errors.Is(readErr, os.ErrNotExist) {
		t.Skip("this crun keeps no program")
	}
	var p bpf.Program
	for b := code; len(b) >= 8; b = b[8:] {
		p = append(p, unix.SockFilter{
			Code: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:]),
		})
	}
	return p
}

// unknown are system calls younger than the libseccomp of Debian 12, which leaves them to the default action: uretprobe, uprobe
// and those after set_mempolicy_home_node. 512 to 547 are of x32.
func unknown(n uint32) bool { return n == 335 || n == 336 || n > 450 && n < 512 }

func TestProgramsAnswerAsLibseccomps(t *testing.T) {
	onlyNative := docker(t)
	onlyNative.Architectures = []specs.Arch{specs.ArchX86_64}
	for name, f := range map[string]*specs.LinuxSeccomp{
		"docker": docker(t), "docker with SYS_ADMIN": docker(t, "CAP_SYS_ADMIN", "CAP_BPF"), "operators": operators(), "native alone": onlyNative,
	} {
		ours, reference := compile(t, f), theirs(t, f)
		values := []uint64{0, 1, 2, 5, 6, 7, 8, 38, 40, 0x20008, 0xffffffff, 1 << 32, 0x1_0000_0004, 0x1_0000_0005, 0x1_0000_0006,
			0x2_0000_0000, 0x7e020000, 0x10000000, 0x1200340056007800, 0x12ff34ff56ff78ff, 1<<63 | 7, ^uint64(0)}
		told := map[[2]uint32]bool{}
		for _, audit := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, 0} {
			for _, base := range []uint32{0, 0x40000000, 0xfffffff0} {
				last := uint32(560)
				if base > 0x40000000 || audit == 0 || audit == unix.AUDIT_ARCH_AARCH64 {
					last = 20 // nothing there depends on the number
				}
				for n := range last {
					if unknown((base + n) &^ 0x40000000) {
						continue
					}
					for i, v := range values {
						d := data{number: base + n, arch: audit, args: [6]uint64{v, values[(i+3)%len(values)], v, v, v, v}}
						if n%7 == 0 {
							d.args[1] = v
						}
						a, _ := run(t, ours, d)
						b, _ := run(t, reference, d)
						if key := [2]uint32{audit, d.number}; a != b && !told[key] {
							told[key] = true
							t.Errorf("%s: %+v: %#x, theirs %#x", name, d, a, b)
						}
					}
				}
			}
		}
	}
}

func TestProgramsAreShort(t *testing.T) {
	p := compile(t, docker(t))
	worst := 0
	for n := range uint32(500) {
		_, steps := run(t, p, data{number: n, arch: unix.AUDIT_ARCH_X86_64, args: [6]uint64{99}})
		worst = max(worst, steps)
	}
	if len(p) > 1000 || worst > 200 {
		t.Errorf("%d instructions, %d of them on the longest way", len(p), worst)
	}
}

func TestCompileRefusesWhatItCannotTranslate(t *testing.T) {
	allow := func(s ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: s}
	}
	big := uint(1 << 20)
	for name, f := range map[string]*specs.LinuxSeccomp{
		"listener":         allow(rule(specs.ActNotify, "read")),
		"action":           allow(rule("SCMP_ACT_DANCE", "read")),
		"operator":         allow(rule(specs.ActAllow, "read", arg(0, "SCMP_CMP_FOO", 1, 0))),
		"argument":         allow(rule(specs.ActAllow, "read", arg(6, specs.OpEqualTo, 1, 0))),
		"architecture":     {DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchS390X}},
		"two actions":      allow(rule(specs.ActAllow, "read", arg(0, specs.OpEqualTo, 1, 0)), rule(specs.ActTrap, "read")),
		"no default":       {},
		"errno":            {DefaultAction: specs.ActErrno, DefaultErrnoRet: &big},
		"too long to load": long(),
	} {
		if _, err := bpf.Compile(f, specs.ArchX86_64); !errors.Is(err, bpf.ErrUnsupported) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func long() *specs.LinuxSeccomp {
	f := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for i := range uint64(2000) {
		f.Syscalls = append(f.Syscalls, rule(specs.ActAllow, "read", arg(0, specs.OpEqualTo, i<<32|i, 0)))
	}
	return f
}

// victimEnv makes this binary the process that a program is loaded into.
const victimEnv = "GANTRY_BPF_VICTIM"

func TestMain(m *testing.M) {
	file := os.Getenv(victimEnv)
	if file == "" {
		os.Exit(m.Run())
	}
	fmt.Println(confined(file))
}

// confined loads the program in a file and reports how system calls fare under it.
func confined(file string) (string, error) {
	code, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return "", err
	}
	prog := unix.SockFprog{Len: uint16(len(code) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&code[0]))}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return "", e
	}
	var out []error
	for _, call := range [][3]uintptr{
		{unix.SYS_GETPID}, {unix.SYS_KEYCTL, 99}, {unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET}, {unix.SYS_SOCKET, unix.AF_INET, 99},
		{unix.SYS_UNSHARE, unix.CLONE_NEWUSER}, {unix.SYS_CLONE3}, {unix.SYS_CLOSE, 9999}, {unix.SYS_GETPID | 0x40000000},
	} {
		_, _, e := unix.RawSyscall(call[0], call[1], call[2], 0)
		out = append(out, e)
	}
	return fmt.Sprint(out), nil
}

func TestTheKernelTakesTheProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, compile(t, docker(t)).Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+file)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// getpid, keyctl, AF_ALG, AF_INET with a bad type, unshare, clone3, close of nothing, getpid of x32 where the kernel has none
	want := []error{unix.Errno(0), unix.EPERM, unix.EPERM, unix.EINVAL, unix.EPERM, unix.ENOSYS, unix.EBADF, unix.ENOSYS}
	if got := string(bytes.TrimSpace(out)); got != fmt.Sprint(want)+" <nil>" {
		t.Errorf("got %s, want %s", got, fmt.Sprint(want))
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["read","socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_NE"}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var filter specs.LinuxSeccomp
		if json.Unmarshal(raw, &filter) != nil {
			return
		}
		p, err := bpf.Compile(&filter, specs.ArchX86_64)
		if err != nil {
			return
		}
		for n := range uint32(20) {
			for _, v := range []uint64{0, 1, ^uint64(0)} {
				run(t, p, data{number: n * 20, arch: unix.AUDIT_ARCH_X86_64, args: [6]uint64{v, v, v, v, v, v}})
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	f := docker(b)
	for b.Loop() {
		if _, err := bpf.Compile(f, specs.ArchX86_64); err != nil {
			b.Fatal(err)
		}
	}
}
