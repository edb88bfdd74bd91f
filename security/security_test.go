package security

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// machine is a kernel with everything, except what a test removes.
func machine(t *testing.T) kernel {
	t.Helper()
	root := t.TempDir()
	for name, data := range map[string]string{
		"sys/module/apparmor/parameters/enabled": "Y\n", "sys/kernel/security/apparmor/profiles": "", "sbin/apparmor_parser": "",
		"proc/sys/kernel/seccomp/actions_avail": "kill allow\n", "proc/self/ns/cgroup": "",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return kernel{root: root, loaded: func(string) (bool, error) { return true, nil }, load: func(string) error { return nil }}
}

func service(t *testing.T, cfg Config, k kernel) *Service {
	t.Helper()
	s, err := open(t.Context(), cfg, k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func profileFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func withCaps(caps ...string) *specs.Spec {
	return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
}

// allows reports whether some rule allows a system call whatever its arguments.
func allows(f *specs.LinuxSeccomp, name string) bool {
	return slices.ContainsFunc(f.Syscalls, func(c specs.LinuxSyscall) bool {
		return c.Action == specs.ActAllow && len(c.Args) == 0 && slices.Contains(c.Names, name)
	})
}

func TestInfoListsWhatTheKernelEnforces(t *testing.T) {
	full := service(t, Config{NoNewPrivs: true, Userns: true, Rootless: true}, machine(t))
	want := []string{"name=apparmor", "name=seccomp,profile=builtin", "name=userns", "name=rootless", "name=cgroupns", "name=no-new-privileges"}
	if got := full.Info(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	bare := service(t, Config{CgroupnsMode: "host"}, kernel{root: t.TempDir()})
	if got := bare.Info(); len(got) != 0 {
		t.Errorf("a kernel without anything enforces %q", got)
	}
}

func TestParse(t *testing.T) {
	o, err := Parse([]string{"label=type:x_t", "label:disable", "apparmor=p=q", "seccomp={\"a\": 1}", "no-new-privileges:false",
		"writable-cgroups=true", "systempaths=unconfined"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Labels, []string{"type:x_t", "disable"}) || o.AppArmor != "p=q" || o.Seccomp != `{"a": 1}` ||
		*o.NoNewPrivs || !*o.WritableCgroups || !o.Unmask {
		t.Errorf("got %+v", o)
	}
	if o, err = Parse([]string{"no-new-privileges"}); err != nil || !*o.NoNewPrivs {
		t.Errorf("got %+v, %v", o, err)
	}
	for opt, want := range map[string]string{
		"x":                      `invalid --security-opt 1: "x"`,
		"x=y":                    `invalid --security-opt 2: "x=y"`,
		"no-new-privileges=what": `invalid --security-opt 2: "no-new-privileges=what"`,
		"systempaths=some":       `invalid --security-opt 2: "systempaths=some"`,
	} {
		if _, err := Parse([]string{opt}); err == nil || err.Error() != want || !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: got %v", opt, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("seccomp=unconfined")
	f.Fuzz(func(t *testing.T, opt string) {
		if _, err := Parse([]string{opt}); err != nil && !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Error(err)
		}
	})
}

func TestTweak(t *testing.T) {
	available := append(DefaultCapabilities(), "CAP_NET_ADMIN", "CAP_SYS_ADMIN")
	without := func(c string) []string {
		return slices.DeleteFunc(slices.Clone(available), func(x string) bool { return x == c })
	}
	for _, c := range []struct {
		name       string
		add, drop  []string
		privileged bool
		want       []string
		err        string
	}{
		{name: "default", want: DefaultCapabilities()},
		{name: "privileged", privileged: true, drop: []string{"CHOWN"}, want: available},
		{name: "add", add: []string{"net_admin", "CAP_NET_ADMIN", "chown"}, want: append(DefaultCapabilities(), "CAP_NET_ADMIN")},
		{name: "drop all but", add: []string{"CHOWN"}, drop: []string{"all"}, want: []string{"CAP_CHOWN"}},
		{name: "add all but", add: []string{"ALL"}, drop: []string{"CHOWN"}, want: without("CAP_CHOWN")},
		{name: "drop what is not there", drop: []string{"SYS_RESOURCE"}, want: DefaultCapabilities()},
		{name: "unknown", add: []string{"fly"}, err: `invalid capability: "fly"`},
		{name: "not to be had", add: []string{"SYS_RESOURCE"}, err: `capability not supported by your kernel or not available in the current environment: "CAP_SYS_RESOURCE"`},
	} {
		got, err := Tweak(available, c.add, c.drop, c.privileged)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: got %v", c.name, err)
			}
		} else if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v", c.name, got, err)
		}
	}
}

func TestSeccompChoosesTheProfile(t *testing.T) {
	custom := `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}`
	for _, c := range []struct {
		name, daemon, profile string
		privileged            bool
		unconfined, custom    bool
	}{
		{name: "built-in"},
		{name: "by name", profile: "builtin", daemon: profileFile(t, custom)},
		{name: "unconfined container", profile: "unconfined", unconfined: true},
		{name: "privileged", privileged: true, unconfined: true},
		{name: "privileged with a profile", privileged: true, profile: custom, custom: true},
		{name: "unconfined daemon", daemon: "unconfined", unconfined: true},
		{name: "unconfined daemon, container with a profile", daemon: "unconfined", profile: custom, custom: true},
		{name: "the daemon's file", daemon: profileFile(t, custom), custom: true},
	} {
		s := service(t, Config{SeccompProfile: c.daemon}, machine(t))
		f, err := s.Seccomp(c.profile, c.privileged, withCaps())
		if err != nil {
			t.Fatal(c.name, err)
		}
		switch {
		case c.unconfined != (f == nil):
			t.Errorf("%s: got %v", c.name, f)
		case f != nil && c.custom != (len(f.Syscalls) == 1):
			t.Errorf("%s: got %d rules", c.name, len(f.Syscalls))
		}
	}
}

func TestSeccompFollowsCapabilities(t *testing.T) {
	s := service(t, Config{}, machine(t))
	plain, err := s.Seccomp("", false, withCaps("CAP_CHOWN"))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := s.Seccomp("", false, withCaps("CAP_CHOWN", "CAP_SYS_ADMIN"))
	if err != nil {
		t.Fatal(err)
	}
	if allows(plain, "mount") || !allows(admin, "mount") || !allows(plain, "openat2") {
		t.Error("mount(2) must be allowed with CAP_SYS_ADMIN, and only then")
	}
	again, err := s.Seccomp("", false, withCaps("CAP_CHOWN"))
	if err != nil || again != plain {
		t.Error("the filter was made twice")
	}
}

func TestProgramIsMadeOnceAndOnlyOfWhatCanBeTranslated(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("machine is not amd64")
	}
	s := service(t, Config{}, machine(t))
	f, err := s.Seccomp("", false, withCaps())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(s.Program(f))
	if err != nil || len(raw) < 1000 || len(raw)%8 != 0 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	if s.Program(nil) != "" || s.Program(&specs.LinuxSeccomp{DefaultAction: specs.ActNotify}) != "" ||
		s.Program(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}}) != "" {
		t.Error("a program was made of what only the runtime can do")
	}
	if n := testing.AllocsPerRun(10, func() { s.Program(f) }); n > 0 {
		t.Errorf("the program was made again: %v allocations", n)
	}
}

func TestSeccompRefuses(t *testing.T) {
	s := service(t, Config{}, machine(t))
	if _, err := s.Seccomp("{", false, withCaps()); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("a broken profile: %v", err)
	}
	s = service(t, Config{}, kernel{root: t.TempDir()})
	if _, err := s.Seccomp(`{"defaultAction": "SCMP_ACT_ALLOW"}`, false, withCaps()); err == nil {
		t.Error("a custom profile without seccomp was accepted")
	}
	if f, err := s.Seccomp("", false, withCaps()); f != nil || err != nil {
		t.Errorf("got %v, %v", f, err)
	}
}

func TestOpenRefusesAProfileThatIsNone(t *testing.T) {
	for _, file := range []string{"/nonexistent", profileFile(t, "not json"), t.TempDir()} {
		if _, err := Open(t.Context(), Config{SeccompProfile: file}); err == nil {
			t.Errorf("%s was accepted", file)
		}
	}
}

func TestAppArmor(t *testing.T) {
	k := machine(t)
	loads := 0
	k.loaded = func(string) (bool, error) { return loads == 1, nil }
	k.load = func(name string) error {
		if name != "docker-default" {
			t.Errorf("loaded %s", name)
		}
		loads++
		return nil
	}
	s := service(t, Config{}, k)
	if loads != 1 {
		t.Error("the default profile was not loaded")
	}
	for _, c := range []struct {
		option     string
		privileged bool
		want       string
	}{{"", false, "docker-default"}, {"", true, "unconfined"}, {"mine", true, "mine"}, {"docker-default", true, "docker-default"}} {
		got, err := s.AppArmor(Options{AppArmor: c.option}, c.privileged)
		if err != nil || got != c.want {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
	s.host.loaded = func(string) (bool, error) { return false, nil } // somebody unloaded it
	if _, err := s.AppArmor(Options{}, false); err != nil || loads != 2 {
		t.Errorf("the profile was loaded %d times, %v", loads, err)
	}
	off := service(t, Config{}, kernel{root: t.TempDir()})
	if got, err := off.AppArmor(Options{AppArmor: "mine"}, false); got != "" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLabelsAreEmptyWithoutSELinux(t *testing.T) {
	s := service(t, Config{SELinux: true}, machine(t)) // asked for where there is none: a warning
	process, mount, err := s.Labels(Options{Labels: []string{"type:x"}}, false)
	if process != "" || mount != "" || err != nil {
		t.Errorf("got %q, %q, %v", process, mount, err)
	}
}

func BenchmarkSeccompCached(b *testing.B) {
	s, err := open(b.Context(), Config{}, hostKernel())
	if err != nil {
		b.Fatal(err)
	}
	spec := withCaps(DefaultCapabilities()...)
	for b.Loop() {
		if _, err := s.Seccomp("", false, spec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeccompEvaluate(b *testing.B) {
	spec := withCaps(DefaultCapabilities()...)
	for b.Loop() {
		if _, err := evaluate("", spec); err != nil {
			b.Fatal(err)
		}
	}
}
