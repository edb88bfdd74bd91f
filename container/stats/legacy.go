package stats

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// legacy is a control group of version 1: a directory for each controller.
type legacy struct{ dirs map[string]string }

// dir prefers the controllers that every runtime uses, and init systems do not nest.
func (g legacy) dir() string {
	for _, controller := range []string{"pids", "memory", "cpuacct"} {
		if d := g.dirs[controller]; d != "" {
			return d
		}
	}
	return ""
}

func (g legacy) file(controller, name string) string {
	if g.dirs[controller] == "" {
		return ""
	}
	return filepath.Join(g.dirs[controller], name)
}

func (g legacy) measure(to *container.StatsResponse) error {
	if _, err := os.Stat(g.dir()); err != nil {
		return err
	}
	g.cpu(&to.CPUStats)
	g.memory(&to.MemoryStats)
	g.blockDevices(&to.BlkioStats)
	// What cannot be read is a controller that is not there: its figures are zero, as dockerd has them.
	to.PidsStats.Current, _ = number(g.file("pids", "pids.current"), 0)
	to.PidsStats.Limit, _ = number(g.file("pids", "pids.max"), 0)
	return nil
}

func (g legacy) cpu(to *container.CPUStats) {
	to.CPUUsage.TotalUsage, _ = number(g.file("cpuacct", "cpuacct.usage"), 0)
	if data, err := os.ReadFile(g.file("cpuacct", "cpuacct.usage_percpu")); err == nil {
		for _, f := range strings.Fields(string(data)) {
			if v, err := strconv.ParseUint(f, 10, 64); err == nil {
				to.CPUUsage.PercpuUsage = append(to.CPUUsage.PercpuUsage, v)
			}
		}
	}
	stat, _ := keyed(g.file("cpuacct", "cpuacct.stat"))
	to.CPUUsage.UsageInUsermode = stat["user"] * nanosecondTick
	to.CPUUsage.UsageInKernelmode = stat["system"] * nanosecondTick
	throttled, _ := keyed(g.file("cpu", "cpu.stat"))
	to.ThrottlingData = container.ThrottlingData{
		Periods: throttled["nr_periods"], ThrottledPeriods: throttled["nr_throttled"], ThrottledTime: throttled["throttled_time"],
	}
}

func (g legacy) memory(to *container.MemoryStats) {
	stat, err := keyed(g.file("memory", "memory.stat"))
	if err != nil {
		return
	}
	to.Stats = stat
	to.Usage, _ = number(g.file("memory", "memory.usage_in_bytes"), 0)
	to.MaxUsage, _ = number(g.file("memory", "memory.max_usage_in_bytes"), 0)
	to.Failcnt, _ = number(g.file("memory", "memory.failcnt"), 0)
	to.Limit, _ = number(g.file("memory", "memory.limit_in_bytes"), 0)
}

func (g legacy) blockDevices(to *container.BlkioStats) {
	to.IoServiceBytesRecursive = g.blkio("io_service_bytes_recursive", "throttle.io_service_bytes")
	to.IoServicedRecursive = g.blkio("io_serviced_recursive", "throttle.io_serviced")
	to.IoQueuedRecursive = g.blkio("io_queued_recursive")
	to.IoServiceTimeRecursive = g.blkio("io_service_time_recursive")
	to.IoWaitTimeRecursive = g.blkio("io_wait_time_recursive")
	to.IoMergedRecursive = g.blkio("io_merged_recursive")
	to.IoTimeRecursive = g.blkio("time_recursive")
	to.SectorsRecursive = g.blkio("sectors_recursive")
}

// blkio reads a statistic of the I/O scheduler, BFQ or the older CFQ, or else of the throttling layer, which counts
// with every scheduler. The answer is never nil: clients get a list.
func (g legacy) blkio(name string, otherwise ...string) []container.BlkioStatEntry {
	for _, candidate := range append([]string{"bfq." + name, name}, otherwise...) {
		data, err := os.ReadFile(g.file("blkio", "blkio."+candidate))
		if err != nil {
			continue
		}
		if entries := parseBlkio(data); len(entries) > 0 {
			return entries
		}
	}
	return []container.BlkioStatEntry{}
}

// parseBlkio reads lines "8:0 Read 4096" and "8:0 12"; the total of all devices is left out.
func parseBlkio(data []byte) []container.BlkioStatEntry {
	var entries []container.BlkioStatEntry
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		entry, ok := device(fields[0])
		if !ok {
			continue
		}
		if len(fields) > 2 {
			entry.Op = fields[1]
		}
		value, err := strconv.ParseUint(fields[len(fields)-1], 10, 64)
		if err != nil {
			continue
		}
		entry.Value = value
		entries = append(entries, entry)
	}
	return entries
}

// device reads "MAJOR:MINOR".
func device(s string) (container.BlkioStatEntry, bool) {
	first, second, ok := strings.Cut(s, ":")
	major, err1 := strconv.ParseUint(first, 10, 64)
	minor, err2 := strconv.ParseUint(second, 10, 64)
	return container.BlkioStatEntry{Major: major, Minor: minor}, ok && err1 == nil && err2 == nil
}
