package container

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/sys/signal"
)

// minMemory is the least that dockerd accepts: below it, runtimes fail in odd ways.
const minMemory = 6 << 20

// validate refuses settings that cannot work, in dockerd's words, and warns of those that this daemon drops.
func validate(c *container.Config, h *container.HostConfig, set *Settings) (warnings []string, err error) {
	if len(c.Entrypoint)+len(c.Cmd) == 0 {
		return nil, invalid("no command specified")
	}
	for _, check := range []func() error{
		func() error { return validateConfig(c) },
		func() error { return validateHealth(c.Healthcheck) },
		func() error { return validateModes(c, h) },
		func() error { return validateRestart(h) },
		func() error { return validateMemory(&h.Resources) },
		func() error { return validateCPU(&h.Resources, set) },
		func() error { return validateBlkio(&h.Resources) },
		func() error { return validateLog(h.LogConfig) },
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	if h.OomKillDisable != nil && *h.OomKillDisable && h.Memory == 0 {
		warnings = append(warnings, "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.")
	}
	return warnings, nil
}

func validateConfig(c *container.Config) error {
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		return invalid(fmt.Sprintf("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir))
	}
	if c.StopSignal != "" {
		if _, err := signal.ParseSignal(c.StopSignal); err != nil {
			return invalid(err.Error())
		}
	}
	if c.StopTimeout != nil && *c.StopTimeout < -1 {
		return invalid("invalid stop timeout: must be -1 or more")
	}
	for _, e := range c.Env {
		if key, _, _ := strings.Cut(e, "="); key == "" {
			return invalid("invalid environment variable: " + e)
		}
		if strings.ContainsRune(e, 0) {
			return invalid("invalid environment variable: contains a NUL byte")
		}
	}
	return nil
}

func validateHealth(h *container.HealthConfig) error {
	if h == nil {
		return nil
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Interval", h.Interval}, {"Timeout", h.Timeout}, {"StartPeriod", h.StartPeriod}, {"StartInterval", h.StartInterval}} {
		if d.value != 0 && d.value < container.MinimumDuration {
			return invalid(fmt.Sprintf("%s in Healthcheck cannot be less than %s", d.name, container.MinimumDuration))
		}
	}
	if h.Retries < 0 {
		return invalid("Retries in Healthcheck cannot be negative")
	}
	if len(h.Test) > 0 {
		switch h.Test[0] {
		case "NONE", "CMD", "CMD-SHELL":
		default:
			return invalid(fmt.Sprintf("Unknown healthcheck type %q (expected 'CMD')", h.Test[0]))
		}
	}
	return nil
}

func validateModes(c *container.Config, h *container.HostConfig) error {
	switch {
	case !h.Isolation.IsDefault():
		return invalid(fmt.Sprintf("invalid isolation '%s' on linux", h.Isolation))
	case !h.IpcMode.Valid():
		return invalid("invalid IPC mode: " + string(h.IpcMode))
	case !h.PidMode.Valid():
		return invalid("invalid PID mode: " + string(h.PidMode))
	case !h.UTSMode.Valid():
		return invalid("invalid UTS mode: " + string(h.UTSMode))
	case !h.UsernsMode.Valid():
		return invalid("invalid user namespace mode: " + string(h.UsernsMode))
	case !h.CgroupnsMode.Valid():
		return invalid("invalid cgroup namespace mode: " + string(h.CgroupnsMode))
	case h.UTSMode.IsHost() && c.Hostname != "":
		return invalid("conflicting options: hostname and the UTS mode")
	case h.NetworkMode.IsContainer() && c.Hostname != "":
		return invalid("conflicting options: hostname and the network mode")
	case h.NetworkMode.IsContainer() && (len(h.PortBindings) > 0 || h.PublishAllPorts):
		return invalid("conflicting options: port publishing and the container type network mode")
	case h.NetworkMode.IsContainer() && len(h.DNS) > 0:
		return invalid("conflicting options: dns and the network mode")
	case h.NetworkMode.IsContainer() && len(h.ExtraHosts) > 0:
		return invalid("conflicting options: custom host-to-IP mapping and the network mode")
	case h.ShmSize < 0:
		return invalid("SHM size can not be less than 0")
	case h.OomScoreAdj < -1000 || h.OomScoreAdj > 1000:
		return invalid(fmt.Sprintf("Invalid value %d, range for oom score adj is [-1000, 1000]", h.OomScoreAdj))
	}
	for dest := range h.Tmpfs {
		if !path.IsAbs(dest) || path.Clean(dest) == "/" {
			return invalid("invalid mount path: '" + dest + "' mount path must be absolute, and not '/'")
		}
	}
	for _, host := range h.ExtraHosts {
		if name, ip, ok := strings.Cut(host, ":"); !ok || name == "" || ip == "" {
			return invalid(fmt.Sprintf("bad format for add-host: %q", host))
		}
	}
	return nil
}

func validateRestart(h *container.HostConfig) error {
	if err := container.ValidateRestartPolicy(h.RestartPolicy); err != nil {
		return invalid(err.Error())
	}
	if h.AutoRemove && !h.RestartPolicy.IsNone() {
		return invalid("can't create 'AutoRemove' container with restart policy")
	}
	return nil
}

func validateMemory(r *container.Resources) error {
	switch {
	case r.Memory != 0 && r.Memory < minMemory:
		return invalid("Minimum memory limit allowed is 6MB")
	case r.Memory > 0 && r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	case r.Memory == 0 && r.MemorySwap > 0:
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	case r.MemorySwappiness != nil && (*r.MemorySwappiness < -1 || *r.MemorySwappiness > 100):
		return invalid(fmt.Sprintf("Invalid value: %d, valid memory swappiness range is 0-100", *r.MemorySwappiness))
	case r.MemoryReservation > 0 && r.MemoryReservation < minMemory:
		return invalid("Minimum memory reservation allowed is 6MB")
	case r.Memory > 0 && r.MemoryReservation > 0 && r.Memory < r.MemoryReservation:
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

func validateCPU(r *container.Resources, set *Settings) error {
	switch {
	case r.NanoCPUs > 0 && r.CPUPeriod > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
	case r.NanoCPUs > 0 && r.CPUQuota > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
	case r.NanoCPUs < 0 || r.NanoCPUs > int64(set.NCPU)*1e9:
		return invalid(fmt.Sprintf("range of CPUs is from 0.01 to %[1]d.00, as there are only %[1]d CPUs available", set.NCPU))
	case r.CPUShares < 0:
		return invalid(fmt.Sprintf("invalid CPU shares (%d): value must be a positive integer", r.CPUShares))
	case r.CPUPeriod != 0 && (r.CPUPeriod < 1000 || r.CPUPeriod > 1000000):
		return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	case r.CPUQuota > 0 && r.CPUQuota < 1000:
		return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
	}
	if err := validateCPUSet(r.CpusetCpus, "cpus", "CPUs", set.NCPU); err != nil {
		return err
	}
	return validateCPUSet(r.CpusetMems, "mems", "memory nodes", 0)
}

// validateCPUSet checks the list format of cpuset(7); available 0 leaves the bound to the kernel.
func validateCPUSet(list, what, plural string, available int) error {
	if list == "" {
		return nil
	}
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		a, errA := strconv.ParseUint(low, 10, 16)
		b, errB := strconv.ParseUint(high, 10, 16)
		if errA != nil || errB != nil || a > b {
			return invalid(fmt.Sprintf("Invalid value %s for cpuset %s", list, what))
		}
		if available > 0 && b >= uint64(available) {
			return invalid(fmt.Sprintf("Requested %s are not available - requested %s, available: 0-%d", plural, list, available-1))
		}
	}
	return nil
}

func validateBlkio(r *container.Resources) error {
	if r.BlkioWeight > 0 && (r.BlkioWeight < 10 || r.BlkioWeight > 1000) {
		return invalid("Range of blkio weight is from 10 to 1000")
	}
	for _, w := range r.BlkioWeightDevice {
		if w.Weight > 0 && (w.Weight < 10 || w.Weight > 1000) {
			return invalid("Range of blkio weight is from 10 to 1000")
		}
	}
	if r.PidsLimit != nil && *r.PidsLimit < -1 {
		return invalid("invalid pids limit: " + strconv.FormatInt(*r.PidsLimit, 10))
	}
	for _, u := range r.Ulimits {
		if _, err := units.ParseUlimit(u.String()); err != nil {
			return invalid(err.Error())
		}
	}
	return nil
}
