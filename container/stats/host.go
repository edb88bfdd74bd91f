package stats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
)

// ticks is USER_HZ, the unit of CPU time in procfs and cpuacct.stat: 100 a second on every
// architecture that Go runs on.
const (
	ticks          = 100
	nanosecondTick = uint64(time.Second / ticks)
)

// host is where the kernel shows what is measured.
type host struct {
	proc   string // mount point of procfs
	mounts mounts
	memory uint64 // bytes of the machine; 0 if it is not known
	netns  string // the daemon's own network namespace
}

func openHost(proc string) (*host, error) {
	h := &host{proc: proc}
	var err error
	if h.mounts, err = readMounts(filepath.Join(proc, "self/mountinfo")); err != nil {
		return nil, err
	}
	info, err := keyed(filepath.Join(proc, "meminfo"))
	if err != nil {
		return nil, err
	}
	h.memory = info["MemTotal:"] << 10
	h.netns, err = os.Readlink(filepath.Join(proc, "self/ns/net"))
	return h, err
}

// measure fills in a sample of the container whose init process is pid. Errors: the process or its
// groups are gone.
func (h *host) measure(pid int, id string, to *container.StatsResponse) error {
	g, err := h.group(pid, id)
	if err != nil {
		return err
	}
	to.Read = time.Now().UTC()
	if err := g.measure(to); err != nil {
		return err
	}
	if h.memory > 0 && (to.MemoryStats.Limit == 0 || to.MemoryStats.Limit > h.memory) && to.MemoryStats.Stats != nil {
		to.MemoryStats.Limit = h.memory
	}
	to.Networks = h.networks(pid)
	to.CPUStats.SystemUsage, to.CPUStats.OnlineCPUs, err = h.systemCPU()
	return err
}

// systemCPU returns the time that all CPUs have spent, idle or not, in nanoseconds, and their number.
// The fields of proc(5) that dockerd sums up: user, nice, system, idle, iowait, irq, softirq.
func (h *host) systemCPU() (usage uint64, online uint32, err error) {
	data, err := os.ReadFile(filepath.Join(h.proc, "stat"))
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || !strings.HasPrefix(fields[0], "cpu") {
			break // they come first
		}
		if fields[0] != "cpu" {
			online++
			continue
		}
		if len(fields) < 8 {
			return 0, 0, fmt.Errorf("%s/stat: invalid CPU line", h.proc)
		}
		for _, f := range fields[1:8] {
			v, err := strconv.ParseUint(f, 10, 64)
			if err != nil {
				return 0, 0, err
			}
			usage += v * nanosecondTick
		}
	}
	return usage, online, nil
}

// networks returns the traffic of each interface of the container, without the loopback; nil for one that
// shares the host's network.
func (h *host) networks(pid int) map[string]container.NetworkStats {
	dir := filepath.Join(h.proc, strconv.Itoa(pid))
	ns, err := os.Readlink(filepath.Join(dir, "ns/net"))
	if err != nil || ns == h.netns {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(dir, "net/dev"))
	if err != nil {
		return nil
	}
	return parseNetDev(data)
}

// parseNetDev reads /proc/net/dev, proc(5): after the colon eight numbers of what was received, then eight of what
// was sent, each beginning with bytes, packets, errors, dropped.
func parseNetDev(data []byte) map[string]container.NetworkStats {
	var networks map[string]container.NetworkStats
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for scanner.Scan() {
		line := scanner.Text()
		i := strings.LastIndexByte(line, ':') // a name may have colons, too
		if i < 0 {
			continue
		}
		name := strings.TrimSpace(line[:i])
		fields := strings.Fields(line[i+1:])
		if name == "lo" || len(fields) < 12 {
			continue
		}
		var v [12]uint64
		for i := range v {
			v[i], _ = strconv.ParseUint(fields[i], 10, 64) // the kernel writes numbers
		}
		if networks == nil {
			networks = map[string]container.NetworkStats{}
		}
		networks[name] = container.NetworkStats{
			RxBytes: v[0], RxPackets: v[1], RxErrors: v[2], RxDropped: v[3],
			TxBytes: v[8], TxPackets: v[9], TxErrors: v[10], TxDropped: v[11],
		}
	}
	return networks
}

// keyed reads a file of lines "key value ...". Lines without a number are left out.
func keyed(path string) (map[string]uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if v, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
			values[fields[0]] = v
		}
	}
	return values, nil
}

// number reads a file that holds one number, or "max", which is unlimited.
func number(path string, unlimited uint64) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	s := strings.TrimSpace(string(data))
	if s == "max" {
		return unlimited, nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return unlimited, nil
	}
	return v, err
}
