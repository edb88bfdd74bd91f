package container

import (
	"maps"
	"os"
	"path"
	"strings"

	"gantry/container/spec"
	"gantry/logdriver/drivers"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// mergeImage fills what the user left open with what the image says.
func mergeImage(c *container.Config, image *Image) {
	if image == nil {
		return
	}
	from := image.Config.Config
	if c.User == "" {
		c.User = from.User
	}
	mergePorts(c, from.ExposedPorts)
	c.Env = mergeEnv(c.Env, from.Env)
	labels := maps.Clone(from.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd = from.Cmd
		}
		if c.Entrypoint == nil {
			c.Entrypoint = from.Entrypoint
		}
	}
	c.Healthcheck = mergeHealth(c.Healthcheck, from.Healthcheck)
	if c.WorkingDir == "" {
		c.WorkingDir = from.WorkingDir
	}
	if len(from.Volumes) > 0 {
		volumes := maps.Clone(from.Volumes)
		maps.Copy(volumes, c.Volumes)
		c.Volumes = volumes
	}
	if c.StopSignal == "" {
		c.StopSignal = from.StopSignal
	}
	if len(c.Shell) == 0 {
		c.Shell = from.Shell
	}
}

func mergePorts(c *container.Config, exposed map[string]struct{}) {
	for p := range exposed {
		if port, err := network.ParsePort(p); err == nil {
			if c.ExposedPorts == nil {
				c.ExposedPorts = network.PortSet{}
			}
			c.ExposedPorts[port] = struct{}{}
		}
	}
}

// mergeEnv puts the image's variables before the user's, which win.
func mergeEnv(user, image []string) []string {
	set := map[string]bool{}
	for _, e := range user {
		key, _, _ := strings.Cut(e, "=")
		set[key] = true
	}
	var out []string
	for _, e := range image {
		if key, _, _ := strings.Cut(e, "="); !set[key] {
			out = append(out, e)
		}
	}
	return append(user, out...)
}

// mergeHealth takes each setting from the user, then from the image.
func mergeHealth(user, image *dockerspec.HealthcheckConfig) *dockerspec.HealthcheckConfig {
	if image == nil || user == nil {
		if user == nil {
			return image
		}
		return user
	}
	out := *user
	if len(out.Test) == 0 {
		out.Test = image.Test
	}
	if out.Interval == 0 {
		out.Interval = image.Interval
	}
	if out.Timeout == 0 {
		out.Timeout = image.Timeout
	}
	if out.StartPeriod == 0 {
		out.StartPeriod = image.StartPeriod
	}
	if out.StartInterval == 0 {
		out.StartInterval = image.StartInterval
	}
	if out.Retries == 0 {
		out.Retries = image.Retries
	}
	return &out
}

// mergeDefaults fills what is still open with the daemon's settings.
func mergeDefaults(c *container.Config, h *container.HostConfig, set *Settings) {
	if h.NetworkMode == "" || h.NetworkMode.IsDefault() {
		h.NetworkMode = network.NetworkBridge
		if set.NoBridge {
			h.NetworkMode = network.NetworkNone
		}
	}
	if h.IpcMode == "" {
		h.IpcMode = set.IpcMode
	}
	if h.CgroupnsMode == "" {
		h.CgroupnsMode = set.CgroupnsMode
		if h.Privileged && !set.Spec.Cgroup2 {
			h.CgroupnsMode = container.CgroupnsModeHost
		}
	}
	if h.ShmSize == 0 {
		h.ShmSize = set.Spec.ShmSize
	}
	if h.RestartPolicy.Name == "" {
		h.RestartPolicy.Name = container.RestartPolicyDisabled
	}
	if c.WorkingDir != "" && path.IsAbs(c.WorkingDir) {
		c.WorkingDir = path.Clean(c.WorkingDir)
	}
	if h.MaskedPaths == nil && !h.Privileged {
		h.MaskedPaths = set.Spec.MaskedPaths
	}
	if h.ReadonlyPaths == nil && !h.Privileged {
		h.ReadonlyPaths = spec.ReadonlyPaths()
	}
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" {
		c.Entrypoint = nil // how clients ask for none, in place of the image's
	}
	mergeLog(&h.LogConfig, set)
	mergeResources(&h.Resources)
	if h.PidsLimit != nil && *h.PidsLimit <= 0 {
		unlimited := int64(-1)
		if *h.PidsLimit == 0 {
			h.PidsLimit = nil
		} else {
			h.PidsLimit = &unlimited
		}
	}
}

// mergeLog adds the daemon's options to a container's that has the same driver.
func mergeLog(l *container.LogConfig, set *Settings) {
	if l.Type == "" {
		l.Type = set.LogDriver
	}
	if l.Type != set.LogDriver {
		if l.Config == nil {
			l.Config = map[string]string{}
		}
		return
	}
	options := maps.Clone(set.LogOptions)
	if options == nil {
		options = map[string]string{}
	}
	maps.Copy(options, l.Config)
	l.Config = options
}

// mergeResources sets what follows from other limits: as dockerd, twice the memory when no swap is given.
func mergeResources(r *container.Resources) {
	if r.Memory > 0 && r.MemorySwap == 0 {
		r.MemorySwap = r.Memory * 2
	}
}

// validateLog refuses a driver that is not there and options that it does not know.
func validateLog(l container.LogConfig) error {
	return drivers.Validate(l.Type, l.Config)
}

// defaultHostname is the short ID, or the host's name in the host's namespaces.
func defaultHostname(id string, h *container.HostConfig) (string, error) {
	switch {
	case h.NetworkMode.IsHost() || h.UTSMode.IsHost():
		return os.Hostname()
	case h.NetworkMode.IsContainer():
		return "", nil // its peer's, at start
	}
	return id[:12], nil
}

func invalid(text string) error { return errdefs.ErrInvalidArgument.WithMessage(text) }
