package security

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
)

// Labels returns the SELinux process and mount labels of a new container, "" where SELinux is
// off. A privileged container has none unless its options ask for one. Errors: invalid argument.
func (s *Service) Labels(o Options, privileged bool) (process, mount string, err error) {
	opts := o.Labels
	if privileged && len(opts) == 0 {
		opts = selinux.DisableSecOpt()
	}
	process, mount, err = label.InitLabels(opts)
	if err != nil {
		err = errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return process, mount, err
}

// ReleaseLabels gives back the level of a removed container, so that another can have it.
func (s *Service) ReleaseLabels(process string) { selinux.ReleaseLabel(process) }

// AdoptLabels reserves the level of a container that an earlier process labelled. Errors: the label is not one.
func (s *Service) AdoptLabels(process string) error { return selinux.ReserveLabelV2(process) }

// Relabel gives a bind source the label of the container that mounts it: the options z (shared between
// containers) and Z (this container's alone) of -v. Nothing happens where SELinux is off.
func (s *Service) Relabel(source, mountLabel string, shared bool) error {
	if err := label.Relabel(source, mountLabel, shared); err != nil {
		return fmt.Errorf("error setting label on mount source '%s': %w", source, err)
	}
	return nil
}

// AppArmor returns the profile name for a container: "" where the kernel has no AppArmor. The
// default profile is loaded again when something unloaded it.
func (s *Service) AppArmor(o Options, privileged bool) (string, error) {
	switch {
	case s.apparmor == "":
		return "", nil
	case o.AppArmor != "" && o.AppArmor != s.apparmor:
		return o.AppArmor, nil
	case o.AppArmor == "" && privileged:
		return Unconfined, nil
	}
	return s.apparmor, s.host.ensureAppArmor(s.apparmor)
}

// defaultAppArmor is the name of the default profile. Hosts and documentation know docker-default.
func defaultAppArmor(daemon string) string {
	if daemon == "" {
		daemon = "docker"
	}
	return strings.ToLower(daemon) + "-default"
}
