package enter

import (
	"bytes"
	"debug/elf"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// plain is the specification of a container that can be entered.
func plain() *specs.Spec {
	return &specs.Spec{
		Process: &specs.Process{},
		Linux:   &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}}},
	}
}

func read(t *testing.T, s *specs.Spec) (*Room, error) {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ReadRoom("id", dir, filepath.Join(dir, "state"))
}

func TestOnlyPlainContainersAreEntered(t *testing.T) {
	if r, err := read(t, plain()); err != nil || !r.pids || r.namespaces != unix.CLONE_NEWNS {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, change := range map[string]func(*specs.Spec){
		"user namespace": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		},
		"the host's mounts":    func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:1] },
		"personality":          func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{} },
		"profile not compiled": func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{} },
		"listener":             func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{ListenerPath: "/x"} },
		"torn program": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{}
			s.Annotations = map[string]string{bpfAnnotation: base64.StdEncoding.EncodeToString(make([]byte, 12))}
		},
	} {
		s := plain()
		change(s)
		if _, err := read(t, s); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProcessesWithMoreAreLeftToTheRuntime(t *testing.T) {
	d := &Door{code: []byte{0}}
	for name, change := range map[string]func(*specs.Process){
		"AppArmor":     func(p *specs.Process) { p.ApparmorProfile = "docker-default" },
		"SELinux":      func(p *specs.Process) { p.SelinuxLabel = "system_u:system_r:container_t:s0:c1,c2" },
		"priority":     func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{} },
		"capability":   func(p *specs.Process) { p.Capabilities.Bounding = []string{"CAP_FLY"} },
		"limit":        func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_FLIGHT"}} },
		"no directory": func(p *specs.Process) { p.Cwd = "" },
	} {
		p := &specs.Process{Args: []string{"true"}, Cwd: "/", Capabilities: &specs.LinuxCapabilities{}}
		change(p)
		if _, err := d.prepare(Request{Process: p}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommandsAreLookedForInThePathOfTheProcess(t *testing.T) {
	for _, c := range []struct {
		name, path string
		want       []string
	}{
		{"/bin/true", "PATH=/a", []string{"/bin/true"}},
		{"./true", "PATH=/a", []string{"./true"}},
		{"true", "PATH=/a:/b/", []string{"/a/true", "/b/true"}},
		{"true", "PATH=/a::b", []string{"/a/true", "true", "b/true"}},
		{"true", "PATH=", []string{"/usr/local/sbin/true", "/usr/local/bin/true", "/usr/sbin/true", "/usr/bin/true", "/sbin/true", "/bin/true"}},
	} {
		p := &program{}
		p.exec(&specs.Process{Args: []string{c.name}, Env: []string{"X=PATH=/x", c.path}})
		var got []string
		for _, s := range p.steps {
			text, _, _ := bytes.Cut(p.data[s.args[0]-dataAt:], []byte{0})
			got = append(got, string(text))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s in %s: %q", c.name, c.path, got)
		}
		if p.steps[len(p.steps)-1].pass != 0 {
			t.Error("the last attempt cannot fail")
		}
	}
}

func TestStringsWithZeroBytesAreRefused(t *testing.T) {
	var refused *Refused
	for name, add := range map[string]func(*program){
		"argument":    func(p *program) { p.exec(&specs.Process{Args: []string{"a\x00b"}}) },
		"environment": func(p *program) { p.exec(&specs.Process{Args: []string{"a"}, Env: []string{"A=\x00"}}) },
		"directory":   func(p *program) { p.chdir("/\x00") },
	} {
		p := &program{}
		if add(p); !errors.As(p.err, &refused) {
			t.Errorf("%s: %v", name, p.err)
		}
	}
}

func TestCapabilitySets(t *testing.T) {
	if got := bits([]string{"CAP_CHOWN", "CAP_KILL", "CAP_CHECKPOINT_RESTORE"}); got != 1|1<<5|1<<40 {
		t.Errorf("%x", got)
	}
}

// TestImageIsAnExecutable: its code and its data are not in one segment, and its stack is not executable.
func TestImageIsAnExecutable(t *testing.T) {
	p := &program{}
	p.chdir("/")
	data, err := image(p, stubCode())
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Progs) != 4 || f.Entry < textAt {
		t.Errorf("%d segments, entry %x", len(f.Progs), f.Entry)
	}
	for _, s := range f.Progs {
		if s.Flags&elf.PF_W != 0 && s.Flags&elf.PF_X != 0 {
			t.Errorf("segment at %x can be written and executed", s.Vaddr)
		}
	}
}

// TestNobodyCanChangeTheImage: a container that gets hold of the executable of a process that enters it (CVE-2019-5736).
func TestNobodyCanChangeTheImage(t *testing.T) {
	f, err := sealed([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	if err == nil {
		if _, err = unix.Write(fd, []byte("x")); err == nil {
			t.Error("it was written to")
		}
		_ = unix.Close(fd)
	}
	if err := unix.Truncate(path, 0); err == nil {
		t.Error("it was truncated")
	}
}

func TestFailuresInTheWordsOfRuntimes(t *testing.T) {
	a := &attempt{Request: Request{Process: &specs.Process{Args: []string{"/a/b"}, Cwd: "/nowhere"}}, root: os.NewFile(^uintptr(0), "none")}
	for _, c := range []struct {
		s      step
		errno  unix.Errno
		passed uint64
		want   string
	}{
		{step{what: "exec"}, unix.ENOENT, 0, `exec: "/a/b": stat /a/b: no such file or directory`},
		{step{what: "exec"}, unix.EACCES, 0, `exec: "/a/b": permission denied`},
		{step{what: "exec"}, unix.ENOENT, 1 << unix.EACCES, `exec: "/a/b": permission denied`},
		{step{what: "exec"}, unix.ENOEXEC, 0, "exec /a/b: exec format error"},
		{step{what: "chdir"}, unix.ENOENT, 0, `chdir to cwd ("/nowhere") set in config.json failed: no such file or directory`},
		{step{what: "chdir", slash: 1}, unix.ENOENT, 0, "current working directory is outside of container mount namespace root -- possible container breakout detected"},
		{step{what: "seccomp filter"}, unix.EINVAL, 0, "seccomp filter: invalid argument"},
	} {
		if got := a.failure(c.s, c.errno, c.passed).Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
