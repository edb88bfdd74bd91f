package security

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/capability"
)

// all stands for every capability in --cap-add and --cap-drop.
const all = "ALL"

// DefaultCapabilities returns what a container may do when nothing else is said: Docker's documented set.
func DefaultCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
}

// Capabilities returns the capabilities of a container: Docker's default set with add and drop
// applied; ALL and CAP_ prefixes understood. Errors: invalid argument, in dockerd's words.
func Capabilities(add, drop []string, privileged bool) ([]string, error) {
	available, err := Available()
	if err != nil {
		return nil, err
	}
	return Tweak(available, add, drop, privileged)
}

// Available returns the capabilities that this process has and so can give away, in the kernel's order.
func Available() ([]string, error) {
	own, err := capability.NewPid2(0)
	if err != nil {
		return nil, err
	}
	if err := own.Load(); err != nil {
		return nil, fmt.Errorf("read own capabilities: %w", err)
	}
	var out []string
	for _, c := range capability.ListKnown() {
		if own.Get(capability.EFFECTIVE, c) {
			out = append(out, capName(c))
		}
	}
	return out, nil
}

// Tweak is Capabilities on a host that can give what is in available, and nothing else.
func Tweak(available, add, drop []string, privileged bool) ([]string, error) {
	if privileged {
		return slices.Clone(available), nil
	}
	dropped, err := normalize(drop)
	if err != nil {
		return nil, err
	}
	added, err := normalize(add)
	if err != nil {
		return nil, err
	}
	for _, c := range added {
		if c != all && !slices.Contains(available, c) {
			return nil, errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("capability not supported by your kernel or not available in the current environment: %q", c))
		}
	}
	without := func(from []string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(c string) bool {
			return slices.Contains(dropped, c) || !slices.Contains(available, c)
		})
	}
	switch {
	case slices.Contains(added, all):
		return without(available), nil
	case slices.Contains(dropped, all):
		return added, nil
	}
	out := without(DefaultCapabilities())
	for _, c := range added {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out, nil
}

// normalize brings names to the form CAP_X, sorted and without duplicates.
func normalize(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		c := strings.ToUpper(name)
		if c == all {
			out = append(out, all)
			continue
		}
		if !strings.HasPrefix(c, "CAP_") {
			c = "CAP_" + c
		}
		if !known(c) {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid capability: %q", name))
		}
		out = append(out, c)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func known(name string) bool {
	return slices.ContainsFunc(capability.ListKnown(), func(c capability.Cap) bool { return capName(c) == name })
}

func capName(c capability.Cap) string { return "CAP_" + strings.ToUpper(c.String()) }
