package spec

import (
	"io/fs"
	"slices"
)

// MaskedPaths returns what a container must not read unless it says otherwise: Docker's list, and
// the thermal counters of each CPU that sys has. Sys is the host's /sys; nil for none.
func MaskedPaths(sys fs.FS) []string {
	paths := []string{
		"/proc/acpi", "/proc/asound",
		"/proc/interrupts", // keystroke timing, GHSA-6fw5-f8r9-fgfm
		"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
		"/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", // power side channel, GHSA-jq35-85cj-fj4p
		"/sys/firmware",
	}
	if sys == nil {
		return paths
	}
	// The pattern is constant, so Glob has no error to give.
	found, _ := fs.Glob(sys, "devices/system/cpu/cpu[0-9]*/thermal_throttle")
	for _, p := range found {
		paths = append(paths, "/sys/"+p)
	}
	return paths
}

// ReadonlyPaths returns what a container must not write unless it says otherwise.
func ReadonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// paths: nil in the record is the default, an empty list none.
func (b *builder) paths() error {
	h, l := b.Record.HostConfig, b.spec.Linux
	switch {
	case h.Privileged || b.options.Unmask:
	default:
		l.MaskedPaths = b.Daemon.MaskedPaths
		if l.MaskedPaths == nil {
			l.MaskedPaths = MaskedPaths(nil)
		}
		l.ReadonlyPaths = ReadonlyPaths()
	}
	if h.MaskedPaths != nil {
		l.MaskedPaths = slices.Clone(h.MaskedPaths)
	}
	if h.ReadonlyPaths != nil {
		l.ReadonlyPaths = slices.Clone(h.ReadonlyPaths)
	}
	return nil
}
