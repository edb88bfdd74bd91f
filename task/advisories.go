package task

import (
	"fmt"
	"strconv"
	"strings"

	"gantry/task/protocol"
)

// advisory is a flaw of a runtime: every version below one of fixed, within its minor series, has it.
type advisory struct {
	kind  string
	names string
	fixed []string // the lowest good version of each series that was repaired, ascending
}

// known are container escapes that were published for the runtimes that gantry knows. crun is not affected by
// runc's three of 2025 (containers/crun issue 1906).
func known() []advisory {
	return []advisory{
		{protocol.KindRunc, "CVE-2019-5736", []string{"1.0.0-rc.7"}},
		{protocol.KindRunc, "CVE-2024-21626", []string{"1.1.12"}},
		{protocol.KindRunc, "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881", []string{"1.2.8", "1.3.3", "1.4.0-rc.3"}},
		{protocol.KindCrun, "CVE-2025-24965 (krun handler only)", []string{"1.20"}},
	}
}

// advisories are sentences about the flaws of a runtime.
func advisories(name string, f found) []string {
	var out []string
	for _, a := range known() {
		if a.kind == f.kind && a.affects(f.Version) {
			out = append(out, fmt.Sprintf("runtime %q (%s %s) has known flaws: %s; upgrade it to %s or later",
				name, f.kind, f.Version, a.names, strings.Join(a.fixed, ", ")))
		}
	}
	return out
}

// affects reports whether a version is older than the repair of its series, or of the oldest series that has one.
func (a advisory) affects(version string) bool {
	v, ok := parseNumbers(version)
	if !ok {
		return false
	}
	for _, f := range a.fixed {
		fixed, _ := parseNumbers(f)
		if v.before(fixed) {
			return v.sameSeries(fixed) || f == a.fixed[0]
		}
	}
	return false
}

// number is a version: three numbers, and the number of a release candidate, or a large one for the release.
type number [4]int

const released = 1 << 20

func (v number) before(w number) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

func (v number) sameSeries(w number) bool { return v[0] == w[0] && v[1] == w[1] }

// parseNumbers reads 1.2, 1.2.3 and 1.4.0-rc.3; what a distribution appends (+ds1, ~deb) is passed over.
func parseNumbers(s string) (v number, ok bool) {
	v[3] = released
	s, _, _ = strings.Cut(s, "+")
	s, _, _ = strings.Cut(s, "~")
	s, candidate, isCandidate := strings.Cut(s, "-")
	if isCandidate {
		digits := strings.TrimPrefix(strings.TrimPrefix(candidate, "rc"), ".")
		if n, err := strconv.Atoi(digits); err == nil {
			v[3] = n
		}
	}
	for i, part := range strings.SplitN(s, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}
