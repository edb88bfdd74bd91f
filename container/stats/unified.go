package stats

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// unifiedGroup is a control group of version 2: one directory.
type unifiedGroup struct{ path string }

func (g unifiedGroup) dir() string { return g.path }

func (g unifiedGroup) file(name string) string { return filepath.Join(g.path, name) }

func (g unifiedGroup) measure(to *container.StatsResponse) error {
	cpu, err := keyed(g.file("cpu.stat")) // there even without the controller
	if err != nil {
		return err
	}
	const microsecond = 1000
	to.CPUStats.CPUUsage = container.CPUUsage{
		TotalUsage:        cpu["usage_usec"] * microsecond,
		UsageInKernelmode: cpu["system_usec"] * microsecond,
		UsageInUsermode:   cpu["user_usec"] * microsecond,
	}
	to.CPUStats.ThrottlingData = container.ThrottlingData{
		Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], ThrottledTime: cpu["throttled_usec"] * microsecond,
	}
	g.memory(&to.MemoryStats)
	// What cannot be read is a controller that is not there: its figures are zero, as dockerd has them.
	to.PidsStats.Current, _ = number(g.file("pids.current"), 0)
	to.PidsStats.Limit, _ = number(g.file("pids.max"), 0)
	if data, err := os.ReadFile(g.file("io.stat")); err == nil {
		to.BlkioStats.IoServiceBytesRecursive = parseIO(data)
	}
	return nil
}

func (g unifiedGroup) memory(to *container.MemoryStats) {
	stat, err := keyed(g.file("memory.stat"))
	if err != nil {
		return
	}
	to.Stats = stat
	to.Usage, _ = number(g.file("memory.current"), 0)
	to.Limit, _ = number(g.file("memory.max"), math.MaxUint64)
	events, _ := keyed(g.file("memory.events"))
	to.Failcnt = events["oom"]
}

// parseIO reads lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0".
func parseIO(data []byte) []container.BlkioStatEntry {
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
		var read, written uint64
		for _, f := range fields[1:] {
			key, value, _ := strings.Cut(f, "=")
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				continue
			}
			switch key {
			case "rbytes":
				read = n
			case "wbytes":
				written = n
			}
		}
		entry.Op, entry.Value = "read", read
		entries = append(entries, entry)
		entry.Op, entry.Value = "write", written
		entries = append(entries, entry)
	}
	return entries
}
