// Package security holds what confines a container: seccomp profiles, capabilities, AppArmor and SELinux labels.
package security

import (
	"context"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config of the daemon.
type Config struct {
	SeccompProfile string // "" or "builtin", "unconfined", or a file
	SELinux        bool
	DaemonName     string
}

// Service knows what this host can enforce.
type Service struct{}

// Open checks and loads the profiles. Errors: a profile file that cannot be read or parsed; SELinux asked for where there is none.
func Open(ctx context.Context, cfg Config) (*Service, error) { return nil, errdefs.ErrNotImplemented }

// Options are the parsed --security-opt of one container.
type Options struct {
	Seccomp         string // "" for the daemon's default, "unconfined", or the JSON of a profile
	AppArmor        string // "" for the default
	NoNewPrivs      *bool
	Labels          []string // SELinux: user:..., role:..., type:..., level:..., disable
	Unmask          bool     // systempaths=unconfined
	WritableCgroups *bool
}

// Parse reads --security-opt values. Errors: invalid argument, in dockerd's words ("invalid --security-opt 1: \"x\"").
func Parse(opts []string) (Options, error) { return Options{}, errdefs.ErrNotImplemented }

// Labels returns the SELinux process and mount labels of a new container, "" where SELinux is off.
func (s *Service) Labels(o Options, privileged bool) (process, mount string, err error) {
	return "", "", errdefs.ErrNotImplemented
}

// AppArmor returns the profile name for a container: "" where the kernel has no AppArmor.
func (s *Service) AppArmor(o Options, privileged bool) (string, error) {
	return "", errdefs.ErrNotImplemented
}

// Seccomp returns the filter for a container's specification, whose capabilities decide what is allowed; nil for unconfined. profile is Options.Seccomp.
func (s *Service) Seccomp(profile string, privileged bool, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	return nil, errdefs.ErrNotImplemented
}

// Info returns /info's SecurityOptions: "name=seccomp,profile=builtin", "name=apparmor", "name=selinux", "name=cgroupns".
func (s *Service) Info() []string { return nil }

// Capabilities returns the capabilities of a container: Docker's default set with add and drop applied; ALL and CAP_ prefixes understood. Errors: invalid argument, in dockerd's words.
func Capabilities(add, drop []string, privileged bool) ([]string, error) {
	return nil, errdefs.ErrNotImplemented
}
