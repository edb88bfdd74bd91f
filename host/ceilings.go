package host

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Ceilings are how far this process, and so its containers, may go. Without CAP_SYS_RESOURCE hard limits cannot be
// raised, and the OOM killer's score cannot be lowered.
type Ceilings struct {
	SysResource bool
	Nofile      uint64 // of RLIMIT_NOFILE; 0 for any
	Nproc       uint64 // of RLIMIT_NPROC; 0 for any
	MinOOMScore int    // lowest oom_score_adj
}

// minOOMScore is oom_score_adj's own limit, proc_pid_oom_score_adj(5).
const minOOMScore = -1000

func (h *Host) readCeilings() Ceilings {
	c := Ceilings{SysResource: h.hasCapability(unix.CAP_SYS_RESOURCE), MinOOMScore: minOOMScore}
	if c.SysResource {
		// Not even root goes beyond nr_open, getrlimit(2).
		c.Nofile, _ = strconv.ParseUint(string(bytes.TrimSpace(h.read("proc/sys/fs/nr_open"))), 10, 64)
		return c
	}
	c.Nofile = hardLimit(unix.RLIMIT_NOFILE)
	c.Nproc = hardLimit(unix.RLIMIT_NPROC)
	if score, err := strconv.Atoi(string(bytes.TrimSpace(h.read("proc/self/oom_score_adj")))); err == nil {
		c.MinOOMScore = score
	}
	return c
}

// hardLimit returns 0 for no limit, and for one that is not known.
func hardLimit(resource int) uint64 {
	var r unix.Rlimit
	if err := unix.Getrlimit(resource, &r); err != nil || r.Max == unix.RLIM_INFINITY {
		return 0
	}
	return r.Max
}

// hasCapability looks in the effective set of this process.
func (h *Host) hasCapability(number uint) bool {
	for line := range bytes.Lines(h.read("proc/self/status")) {
		text, ok := strings.CutPrefix(string(line), "CapEff:")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		return err == nil && set&(1<<number) != 0
	}
	return false
}
