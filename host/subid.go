package host

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// IDMap maps a range of IDs of a user namespace to IDs of the host.
type IDMap struct{ Inside, Host, Size int }

// SubIDs is a file of subordinate IDs, subuid(5), by its lines.
type SubIDs []subIDs

// subIDs is one line: a range that a user may use.
type subIDs struct {
	owner       string // name or ID
	start, size int
}

// maxID is the largest ID there is, exclusive: the last one, (uid_t)-1, is invalid.
const maxID = 1<<32 - 1

// maxSubIDs bounds a file, in bytes.
const maxSubIDs = 4 << 20

// ReadSubIDs reads /etc/subuid or /etc/subgid. Errors: not exist, a line that cannot be understood.
func ReadSubIDs(file string) (SubIDs, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all, err := parseSubIDs(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

// parseSubIDs reads lines NAME:START:COUNT; empty ones and those that begin with # say nothing.
func parseSubIDs(data []byte) (SubIDs, error) {
	if len(data) > maxSubIDs {
		return nil, fmt.Errorf("larger than %d bytes", maxSubIDs)
	}
	var out SubIDs
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r, err := parseSubIDLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, r)
	}
	return out, lines.Err()
}

func parseSubIDLine(line string) (subIDs, error) {
	fields := strings.Split(line, ":")
	if len(fields) != 3 || fields[0] == "" {
		return subIDs{}, fmt.Errorf("%q is not NAME:START:COUNT", line)
	}
	start, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return subIDs{}, fmt.Errorf("start: %w", err)
	}
	size, err := strconv.ParseUint(fields[2], 10, 32)
	if err != nil {
		return subIDs{}, fmt.Errorf("count: %w", err)
	}
	if size == 0 || start+size > maxID {
		return subIDs{}, fmt.Errorf("%d IDs from %d on are not a range of IDs", size, start)
	}
	return subIDs{fields[0], int(start), int(size)}, nil
}

// Of returns the mapping for a user with the ranges of all lines under the user's name or number: inside, IDs begin at 0
// and are contiguous. Errors: no range; ranges that overlap.
func (s SubIDs) Of(name string, id int) ([]IDMap, error) {
	var mine []subIDs
	for _, r := range s {
		if r.owner == name || r.owner == strconv.Itoa(id) {
			mine = append(mine, r)
		}
	}
	if len(mine) == 0 {
		return nil, fmt.Errorf("no subordinate IDs for %s", name)
	}
	slices.SortFunc(mine, func(a, b subIDs) int { return a.start - b.start })
	var out []IDMap
	inside := 0
	for i, r := range mine {
		if i > 0 && mine[i-1].start+mine[i-1].size > r.start {
			return nil, fmt.Errorf("subordinate IDs of %s overlap at %d", name, r.start)
		}
		out = append(out, IDMap{inside, r.start, r.size})
		inside += r.size
	}
	return out, nil
}

// ToHost is where an ID of the namespace is on the host. ok is false for one that is not mapped.
func ToHost(maps []IDMap, inside int) (id int, ok bool) {
	for _, m := range maps {
		if inside >= m.Inside && inside < m.Inside+m.Size {
			return m.Host + inside - m.Inside, true
		}
	}
	return 0, false
}
