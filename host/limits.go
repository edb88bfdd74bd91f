package host

// Limits says which limits of containers the kernel enforces.
type Limits struct {
	Memory            bool
	MemoryReservation bool
	Swap              bool
	Swappiness        bool
	OomKillDisable    bool
	CPUShares         bool
	CPUCfs            bool // quota in each period
	CPURealtime       bool
	CPUSet            bool
	Pids              bool
	BlkioWeight       bool
	BlkioThrottle     bool
	Hugetlb           bool
}

// limits asks the hierarchies.
func (c Cgroups) limits() Limits {
	if c.Version == 2 {
		return c.limits2()
	}
	return Limits{
		Memory:            c.has("memory", "memory.limit_in_bytes"),
		MemoryReservation: c.has("memory", "memory.soft_limit_in_bytes"),
		Swap:              c.has("memory", "memory.memsw.limit_in_bytes"),
		Swappiness:        c.has("memory", "memory.swappiness"),
		OomKillDisable:    c.has("memory", "memory.oom_control"),
		CPUShares:         c.has("cpu", "cpu.shares"),
		CPUCfs:            c.has("cpu", "cpu.cfs_quota_us"),
		CPURealtime:       c.has("cpu", "cpu.rt_runtime_us"),
		CPUSet:            c.has("cpuset", "cpuset.cpus"),
		Pids:              c.Controllers["pids"] != "",
		BlkioWeight:       c.has("blkio", "blkio.weight") || c.has("blkio", "blkio.bfq.weight"),
		BlkioThrottle:     c.has("blkio", "blkio.throttle.read_bps_device"),
		Hugetlb:           c.Controllers["hugetlb"] != "",
	}
}

// limits2 goes by the controllers: each has all of its limits, but for swap, which can be compiled out, and the weight of io,
// which needs a scheduler. Version 2 cannot pause instead of killing (OomKillDisable), and has no real-time budget.
func (c Cgroups) limits2() Limits {
	on := func(controller string) bool { return c.Controllers[controller] != "" }
	return Limits{
		Memory:            on("memory"),
		MemoryReservation: on("memory"),
		Swap:              c.has("memory", "memory.swap.max"),
		CPUShares:         on("cpu"),
		CPUCfs:            on("cpu"),
		CPUSet:            on("cpuset"),
		Pids:              on("pids"),
		BlkioWeight:       c.has("io", "io.bfq.weight") || c.has("io", "io.weight"),
		BlkioThrottle:     on("io"),
		Hugetlb:           on("hugetlb"),
	}
}

// Warnings are for /info, in dockerd's words: what a container could ask for in vain.
func (l Limits) Warnings(version int) []string {
	var out []string
	warn := func(ok bool, text string) {
		if !ok {
			out = append(out, text)
		}
	}
	warn(l.Memory, "WARNING: No memory limit support")
	warn(l.Swap, "WARNING: No swap limit support")
	if version != 2 {
		warn(l.OomKillDisable, "WARNING: No oom kill disable support")
	}
	warn(l.CPUCfs, "WARNING: No cpu cfs quota support")
	warn(l.CPUCfs, "WARNING: No cpu cfs period support")
	warn(l.CPUShares, "WARNING: No cpu shares support")
	warn(l.CPUSet, "WARNING: No cpuset support")
	warn(l.Pids, "WARNING: No pids limit support")
	if version == 2 {
		warn(l.BlkioThrottle, "WARNING: No io.max support")
		warn(l.BlkioWeight, "WARNING: No io.weight support")
	}
	return out
}
