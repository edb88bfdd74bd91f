// Package security holds what confines a container: seccomp profiles, capabilities, AppArmor and SELinux labels.
//
// A profile is what a user or Docker writes: rules that depend on capabilities, the kernel
// and the architecture. A filter is what is left of a profile for one container; the
// OCI runtime compiles it. Nothing here changes a process: it says what the runtime shall do.
package security

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/opencontainers/selinux/go-selinux"
)

// The two names that stand for a seccomp profile without a file.
const (
	Builtin    = "builtin"
	Unconfined = "unconfined"
)

// maxProfile bounds a seccomp profile; Docker's default one is 20 kB.
const maxProfile = 4 << 20

// Config of the daemon.
type Config struct {
	SeccompProfile string // "" or "builtin", "unconfined", or a file
	SELinux        bool
	DaemonName     string // its AppArmor profile is DaemonName-default; "" for docker
	// What Info shows besides the profiles.
	CgroupnsMode string // default of containers: "private" or "host"; "" for private where the kernel has cgroup namespaces
	NoNewPrivs   bool
	Userns       bool // userns-remap
	Rootless     bool
}

// Service knows what this host can enforce. Safe for concurrent use.
type Service struct {
	cfg      Config
	host     kernel
	seccomp  bool   // the kernel can filter system calls
	profile  string // JSON of Config.SeccompProfile; "" for the built-in one
	filters  filters
	apparmor string // name of the default profile; "" where the kernel has no AppArmor
}

// Open checks and loads the profiles. SELinux asked for where there is none is a warning, as in
// dockerd. Errors: a seccomp profile that cannot be read or parsed; an AppArmor profile that cannot be loaded.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	return open(ctx, cfg, hostKernel())
}

func open(ctx context.Context, cfg Config, host kernel) (*Service, error) {
	s := &Service{cfg: cfg, host: host, seccomp: host.seccomp()}
	if err := s.loadProfile(); err != nil {
		return nil, err
	}
	switch {
	case !cfg.SELinux:
		selinux.SetDisabled()
	case !selinux.GetEnabled():
		slog.WarnContext(ctx, "SELinux is asked for, but this kernel has it not enabled")
	}
	if host.appArmor() {
		s.apparmor = defaultAppArmor(cfg.DaemonName)
		if err := host.ensureAppArmor(s.apparmor); err != nil {
			return nil, fmt.Errorf("AppArmor enabled on system but the %s profile could not be loaded: %w", s.apparmor, err)
		}
	}
	return s, nil
}

// loadProfile reads the daemon's seccomp profile.
func (s *Service) loadProfile() error {
	name := s.cfg.SeccompProfile
	if name == "" || name == Builtin || name == Unconfined {
		return nil
	}
	data, err := readBounded(name, maxProfile)
	if err != nil {
		return fmt.Errorf("opening seccomp profile (%s) failed: %w", name, err)
	}
	if err := checkProfile(data); err != nil {
		return fmt.Errorf("opening seccomp profile (%s) failed: %w", name, err)
	}
	s.profile = string(data)
	return nil
}

// Info returns /info's SecurityOptions: "name=seccomp,profile=builtin", "name=apparmor", "name=selinux", "name=cgroupns".
func (s *Service) Info() []string {
	var out []string
	add := func(on bool, option string) {
		if on {
			out = append(out, option)
		}
	}
	profile := s.cfg.SeccompProfile
	if profile == "" {
		profile = Builtin
	}
	add(s.apparmor != "", "name=apparmor")
	add(s.seccomp, "name=seccomp,profile="+profile)
	add(selinux.GetEnabled(), "name=selinux")
	add(s.cfg.Userns, "name=userns")
	add(s.cfg.Rootless, "name=rootless")
	add(s.cfg.CgroupnsMode != "host" && s.host.cgroupNamespaces(), "name=cgroupns")
	add(s.cfg.NoNewPrivs, "name=no-new-privileges")
	return out
}

func readBounded(name string, limit int64) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > limit {
		return nil, fmt.Errorf("not a regular file of at most %d bytes", limit)
	}
	return os.ReadFile(name)
}
