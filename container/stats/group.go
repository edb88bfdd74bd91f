package stats

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// group is the control group of a container, of either version.
type group interface {
	// measure fills in CPU, memory, processes and block devices. It fails when the group is gone.
	measure(to *container.StatsResponse) error
	// dir is where the processes of the group and of those below it are listed.
	dir() string
}

// mount is a mounted hierarchy of control groups.
type mount struct {
	point string // where
	root  string // what part of the hierarchy is seen there
}

// mounts are the hierarchies by controller; the unified one is by "".
type mounts map[string]mount

// readMounts reads mountinfo, proc(5).
func readMounts(path string) (mounts, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := mounts{}
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(rest) < 3 {
			continue
		}
		m := mount{point: unescape(fields[4]), root: unescape(fields[3])}
		switch rest[0] {
		case "cgroup2":
			if _, ok := all[""]; !ok {
				all[""] = m
			}
		case "cgroup":
			for _, controller := range strings.Split(rest[2], ",") {
				if _, ok := all[controller]; !ok {
					all[controller] = m
				}
			}
		}
	}
	return all, nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// at returns the directory of a group, whose path is as in /proc/PID/cgroup.
func (m mount) at(path string) string {
	if m.root != "/" {
		path = strings.TrimPrefix(path, m.root)
	}
	return filepath.Join(m.point, filepath.Join("/", path))
}

// group finds the control group of a container by its init process, which may have moved itself to a group below it: the
// one of the container has the ID in its name. Errors: none of its own; that of reading procfs.
func (h *host) group(pid int, id string) (group, error) {
	data, err := os.ReadFile(filepath.Join(h.proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return nil, err
	}
	unified := ""
	dirs := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(string(data))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[2] == "/" {
			continue // in the root: not the container's
		}
		path := cutAtID(parts[2], id)
		if parts[0] == "0" && parts[1] == "" {
			if m, ok := h.mounts[""]; ok {
				unified = m.at(path)
			}
			continue
		}
		for _, controller := range strings.Split(parts[1], ",") {
			if m, ok := h.mounts[controller]; ok {
				dirs[controller] = m.at(path)
			}
		}
	}
	if dirs["memory"] != "" || dirs["cpuacct"] != "" || dirs["pids"] != "" {
		return legacy{dirs}, nil
	}
	if unified != "" {
		return unifiedGroup{unified}, nil
	}
	return nil, fmt.Errorf("process %d: %w", pid, errNoGroup)
}

// cutAtID leaves out what is below the element that names the container.
func cutAtID(path, id string) string {
	elements := strings.Split(path, "/")
	i := slices.IndexFunc(elements, func(e string) bool { return id != "" && strings.Contains(e, id) })
	if i < 0 {
		return path
	}
	return strings.Join(elements[:i+1], "/")
}

// processes returns the pids in a group and in those below it, in ascending order.
func processes(dir string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path != dir && errors.Is(err, fs.ErrNotExist) {
				return nil // removed meanwhile
			}
			return err
		}
		if !d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil // removed meanwhile, or a threaded one: its processes are listed above
		}
		for _, f := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	slices.Sort(pids)
	return slices.Compact(pids), err
}
