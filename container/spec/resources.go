package spec

import (
	"time"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cpuPeriod is the CFS period that a number of CPUs is a share of, in microseconds.
const cpuPeriod = uint64(100 * time.Millisecond / time.Microsecond)

// limiter makes the limits of a cgroup.
type limiter struct{ *builder }

func (b limiter) resources() error {
	r, err := b.limits(&b.Record.HostConfig.Resources)
	if err != nil {
		return err
	}
	if r.Memory != nil && r.Memory.Swap != nil && *r.Memory.Swap < 0 {
		r.Memory.Swap = nil // a new cgroup has no limit, and a kernel without swap accounting no file to say so
	}
	b.spec.Linux.Resources = r
	return nil
}

// Resources makes the limits of docker update. Errors: invalid argument. Warnings say what this host cannot do.
func Resources(d Daemon, r *container.Resources) (_ *specs.LinuxResources, warnings []string, err error) {
	b := &builder{Input: Input{Daemon: d}}
	out, err := limiter{b}.limits(r)
	return out, b.warnings, err
}

func (b limiter) limits(r *container.Resources) (*specs.LinuxResources, error) {
	cpu, err := b.cpu(r)
	if err != nil {
		return nil, err
	}
	io, err := b.blkio(r)
	if err != nil {
		return nil, err
	}
	return &specs.LinuxResources{CPU: cpu, BlockIO: io, Memory: b.memory(r), Pids: pids(r)}, nil
}

func (b limiter) memory(r *container.Resources) *specs.LinuxMemory {
	var m specs.LinuxMemory
	if r.Memory > 0 {
		m.Limit = &r.Memory
	}
	if r.MemoryReservation > 0 {
		m.Reservation = &r.MemoryReservation
	}
	if r.MemorySwap != 0 {
		m.Swap = &r.MemorySwap
	}
	if s := r.MemorySwappiness; s != nil && *s >= 0 {
		if b.Daemon.Cgroup2 {
			b.warn("memory-swappiness is discarded: cgroup v2 has none")
		} else {
			value := uint64(*s)
			m.Swappiness = &value
		}
	}
	if d := r.OomKillDisable; d != nil && *d {
		if b.Daemon.Cgroup2 {
			b.warn("oom-kill-disable is discarded: cgroup v2 has none")
		} else {
			m.DisableOOMKiller = d
		}
	}
	if m == (specs.LinuxMemory{}) {
		return nil
	}
	return &m
}

func (b limiter) cpu(r *container.Resources) (*specs.LinuxCPU, error) {
	c := specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if r.CPUShares < 0 {
		return nil, invalid("invalid CPU shares (%d): value must be a positive integer", r.CPUShares)
	}
	if r.CPUShares > 0 {
		shares := uint64(r.CPUShares) // the runtime converts them to a weight on cgroup v2
		c.Shares = &shares
	}
	if r.NanoCPUs > 0 {
		period := cpuPeriod
		quota := r.NanoCPUs * int64(period) / 1e9
		c.Period, c.Quota = &period, &quota
	}
	if r.CPUPeriod > 0 {
		period := uint64(r.CPUPeriod)
		c.Period = &period
	}
	if r.CPUQuota != 0 {
		c.Quota = &r.CPUQuota
	}
	if (r.CPURealtimePeriod != 0 || r.CPURealtimeRuntime != 0) && !b.Daemon.CPURealtime {
		return nil, invalid("kernel does not support CPU real-time scheduler")
	}
	if r.CPURealtimePeriod > 0 {
		period := uint64(r.CPURealtimePeriod)
		c.RealtimePeriod = &period
	}
	if r.CPURealtimeRuntime != 0 {
		c.RealtimeRuntime = &r.CPURealtimeRuntime
	}
	if c == (specs.LinuxCPU{}) {
		return nil, nil
	}
	return &c, nil
}

// pids: nil leaves the limit alone, zero and less take it away.
func pids(r *container.Resources) *specs.LinuxPids {
	if r.PidsLimit == nil {
		return nil
	}
	limit := *r.PidsLimit
	if limit <= 0 {
		limit = -1
	}
	return &specs.LinuxPids{Limit: &limit}
}

func (b limiter) blkio(r *container.Resources) (*specs.LinuxBlockIO, error) {
	var io specs.LinuxBlockIO
	if r.BlkioWeight != 0 {
		io.Weight = &r.BlkioWeight
	}
	for _, d := range r.BlkioWeightDevice {
		number, err := b.blockDevice(d.Path)
		if err != nil {
			return nil, err
		}
		io.WeightDevice = append(io.WeightDevice, specs.LinuxWeightDevice{LinuxBlockIODevice: number, Weight: &d.Weight})
	}
	for _, t := range []struct {
		from []*blkiodev.ThrottleDevice
		to   *[]specs.LinuxThrottleDevice
	}{
		{r.BlkioDeviceReadBps, &io.ThrottleReadBpsDevice},
		{r.BlkioDeviceWriteBps, &io.ThrottleWriteBpsDevice},
		{r.BlkioDeviceReadIOps, &io.ThrottleReadIOPSDevice},
		{r.BlkioDeviceWriteIOps, &io.ThrottleWriteIOPSDevice},
	} {
		for _, d := range t.from {
			number, err := b.blockDevice(d.Path)
			if err != nil {
				return nil, err
			}
			*t.to = append(*t.to, specs.LinuxThrottleDevice{LinuxBlockIODevice: number, Rate: d.Rate})
		}
	}
	if io.Weight == nil && io.WeightDevice == nil && io.ThrottleReadBpsDevice == nil && io.ThrottleWriteBpsDevice == nil &&
		io.ThrottleReadIOPSDevice == nil && io.ThrottleWriteIOPSDevice == nil {
		return nil, nil
	}
	return &io, nil
}

func (b limiter) blockDevice(path string) (specs.LinuxBlockIODevice, error) {
	nodes, err := b.Daemon.Host.devices(path)
	if err != nil {
		return specs.LinuxBlockIODevice{}, invalid("%s", err)
	}
	if len(nodes) != 1 || nodes[0].Type != "b" {
		return specs.LinuxBlockIODevice{}, invalid("%s is not a block device", path)
	}
	return specs.LinuxBlockIODevice{Major: nodes[0].Major, Minor: nodes[0].Minor}, nil
}
