package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rlimits joins the daemon's default ulimits and the container's, which win. Without
// CAP_SYS_RESOURCE a hard limit cannot be raised: it is clamped to what this process has.
func (b *builder) rlimits() ([]specs.POSIXRlimit, error) {
	byName := map[string]*units.Ulimit{}
	for name, u := range b.Daemon.DefaultUlimit {
		byName[name] = u
	}
	for _, u := range b.Record.HostConfig.Ulimits {
		byName[u.Name] = u
	}
	var out []specs.POSIXRlimit
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		u := byName[name]
		if _, err := u.GetRlimit(); err != nil {
			return nil, invalid("%s", err)
		}
		// -1 is no limit, in the API and, as the largest number, in getrlimit(2).
		limit := specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: uint64(u.Soft), Hard: uint64(u.Hard)}
		if limit.Soft > limit.Hard {
			return nil, invalid("ulimit soft limit must be less than or equal to hard limit: %d > %d", u.Soft, u.Hard)
		}
		b.clamp(&limit, name)
		out = append(out, limit)
	}
	return out, nil
}

func (b *builder) clamp(l *specs.POSIXRlimit, name string) {
	var most uint64
	switch name {
	case "nofile":
		most = b.Daemon.HardNofile
	case "nproc":
		most = b.Daemon.HardNproc
	}
	if most == 0 || l.Hard <= most {
		return
	}
	b.warn("ulimit %s is reduced from %d to %d: raising it further needs CAP_SYS_RESOURCE", name, int64(l.Hard), most)
	l.Hard, l.Soft = most, min(l.Soft, most)
}

// oomScore is what was asked for, or the least that this process may set.
func (b *builder) oomScore() int {
	want := b.Record.HostConfig.OomScoreAdj
	if want >= b.Daemon.MinOOMScore {
		return want
	}
	if want != 0 {
		b.warn("oom-score-adj is raised from %d to %d: lowering it further needs CAP_SYS_RESOURCE", want, b.Daemon.MinOOMScore)
	}
	return b.Daemon.MinOOMScore
}
