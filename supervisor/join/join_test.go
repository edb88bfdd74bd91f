package join

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// plain is the specification of a container that can be joined.
func plain() *specs.Spec {
	return &specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}}},
		Linux:   &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}}},
	}
}

func read(t *testing.T, s *specs.Spec) *Container {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOnlyPlainContainersAreJoined(t *testing.T) {
	if read(t, plain()) == nil {
		t.Fatal("the plain container is not joined")
	}
	for name, change := range map[string]func(*specs.Spec){
		"user namespace": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		},
		"AppArmor":             func(s *specs.Spec) { s.Process.ApparmorProfile = "docker-default" },
		"SELinux":              func(s *specs.Spec) { s.Process.SelinuxLabel = "system_u:system_r:container_t:s0:c1,c2" },
		"profile not compiled": func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{} },
		"tracing allowed": func(s *specs.Spec) {
			s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_SYS_PTRACE")
		},
		"all capabilities": func(s *specs.Spec) { s.Process.Capabilities = nil },
	} {
		s := plain()
		change(s)
		if read(t, s) != nil {
			t.Errorf("%s: joined", name)
		}
	}
}

func TestSeccompProgramOfTheBundle(t *testing.T) {
	s := plain()
	s.Linux.Seccomp = &specs.LinuxSeccomp{Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}}
	allow := []byte{0x06, 0, 0, 0, 0, 0, 0xff, 0x7f} // ret ALLOW, little-endian
	s.Annotations = map[string]string{bpfAnnotation: base64.StdEncoding.EncodeToString(allow)}
	c := read(t, s)
	if c == nil || len(c.seccomp) != 1 || c.seccomp[0] != (unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW}) || c.flags != unix.SECCOMP_FILTER_FLAG_LOG {
		t.Errorf("%+v", c)
	}
}

func FuzzDecodeProgram(f *testing.F) {
	f.Add("BgAAAAAA/38=")
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		program, err := decodeProgram(text)
		if err == nil && (len(program) == 0 || len(program) > unix.BPF_MAXINSNS) {
			t.Errorf("%d instructions", len(program))
		}
	})
}

func TestCandidates(t *testing.T) {
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
		got := candidates(&specs.Process{Args: []string{c.name}, Env: []string{"X=PATH=/x", c.path}})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s in %s: %q", c.name, c.path, got)
		}
	}
}

func TestPlanRefusesWhatCannotBePassed(t *testing.T) {
	for name, p := range map[string]*specs.Process{
		"argument":    {Args: []string{"a\x00b"}, Cwd: "/", Capabilities: &specs.LinuxCapabilities{}},
		"environment": {Args: []string{"a"}, Env: []string{"A=\x00"}, Cwd: "/", Capabilities: &specs.LinuxCapabilities{}},
		"directory":   {Args: []string{"a"}, Cwd: "/\x00", Capabilities: &specs.LinuxCapabilities{}},
		"capability":  {Args: []string{"a"}, Cwd: "/", Capabilities: &specs.LinuxCapabilities{Effective: []string{"CAP_FLY"}}},
	} {
		if _, err := newPlan(&Container{}, p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCapabilitySets(t *testing.T) {
	var pl plan
	err := pl.setCapabilities(&specs.LinuxCapabilities{
		Bounding: []string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"}, Effective: []string{"CAP_BPF"}, Permitted: []string{"CAP_BPF", "CAP_CHOWN"}, Ambient: []string{"CAP_KILL"},
	})
	if err != nil || pl.bounding != 1|1<<40 || pl.ambient != 1<<5 ||
		pl.capabilities != [2]unix.CapUserData{{Permitted: 1}, {Effective: 1 << 7, Permitted: 1 << 7}} {
		t.Errorf("%+v, %v", pl.capabilities, err)
	}
}

func TestFailuresInTheWordsOfRuntimes(t *testing.T) {
	p := &specs.Process{Args: []string{"/a/b"}, Cwd: "/nowhere"}
	for _, c := range []struct {
		o    outcome
		want string
	}{
		{outcome{stage: stageExecute, errno: int32(unix.ENOENT)}, `exec: "/a/b": stat /a/b: no such file or directory`},
		{outcome{stage: stageExecute, errno: int32(unix.EACCES), mode: unix.S_IFDIR | 0o755}, `exec: "/a/b": is a directory: permission denied`},
		{outcome{stage: stageExecute, errno: int32(unix.EACCES), mode: unix.S_IFREG | 0o644}, `exec: "/a/b": permission denied`},
		{outcome{stage: stageExecute, errno: int32(unix.ENOEXEC)}, "exec /a/b: exec format error"},
		{outcome{stage: stageDirectory, errno: int32(unix.ENOENT)}, `chdir to cwd ("/nowhere") set in config.json failed: no such file or directory`},
		{outcome{stage: stageSeccomp, errno: int32(unix.EINVAL)}, "load the seccomp filter: invalid argument"},
	} {
		if got := (&plan{}).failure(c.o, p); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := (&plan{}).failure(outcome{stage: stageOutside}, p); !strings.Contains(got, "outside of container mount namespace root") {
		t.Error(got)
	}
}
