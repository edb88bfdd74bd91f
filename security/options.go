package security

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

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
func Parse(opts []string) (Options, error) {
	var o Options
	for _, opt := range opts {
		if err := o.add(opt); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

func (o *Options) add(opt string) error {
	switch opt {
	case "no-new-privileges":
		yes := true
		o.NoNewPrivs = &yes
		return nil
	case "disable": // how SELinux labels were switched off before "label=disable"
		o.Labels = append(o.Labels, opt)
		return nil
	}
	key, value, ok := strings.Cut(opt, "=")
	if !ok {
		// The separator of old clients. A colon may also be a part of the value, so "=" goes first.
		key, value, ok = strings.Cut(opt, ":")
	}
	if !ok {
		return invalidOption(1, opt)
	}
	var err error
	switch key {
	case "label":
		o.Labels = append(o.Labels, value)
	case "apparmor":
		o.AppArmor = value
	case "seccomp":
		o.Seccomp = value
	case "no-new-privileges":
		o.NoNewPrivs, err = parseBool(opt, value)
	case "writable-cgroups":
		o.WritableCgroups, err = parseBool(opt, value)
	case "systempaths":
		o.Unmask = value == Unconfined
		if !o.Unmask {
			err = invalidOption(2, opt)
		}
	default:
		err = invalidOption(2, opt)
	}
	return err
}

func parseBool(opt, value string) (*bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return nil, invalidOption(2, opt)
	}
	return &b, nil
}

// invalidOption is dockerd's error: 1 for an option without a value, 2 for one that it does not know.
func invalidOption(kind int, opt string) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid --security-opt %d: %q", kind, opt))
}
