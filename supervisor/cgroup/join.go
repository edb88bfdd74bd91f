package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Join puts a process into every cgroup that another one is in and this process is not: where a hierarchy was kept from the
// other one, it is from the new one too.
func (h *Host) Join(like, pid int) error {
	theirs, err := os.ReadFile("/proc/" + strconv.Itoa(like) + "/cgroup")
	if err != nil {
		return err
	}
	ours, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	dirs, err := h.differing(string(theirs), string(ours))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := writeFile(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// differing are the directories of the cgroups in the first list that are not in the second, cgroups(7).
func (h *Host) differing(theirs, ours string) (dirs []string, err error) {
	own := map[string]bool{}
	for line := range strings.Lines(ours) {
		own[strings.TrimSpace(line)] = true
	}
	for line := range strings.Lines(theirs) {
		line = strings.TrimSpace(line)
		parts := strings.SplitN(line, ":", 3)
		if own[line] || len(parts) != 3 {
			continue
		}
		path := filepath.Clean(parts[2])
		if !strings.HasPrefix(path, "/") || path == "/" || strings.HasPrefix(path, "/..") {
			return nil, fmt.Errorf("cgroup %q cannot be joined from here", line)
		}
		dir, err := h.hierarchy(parts[0], parts[1])
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, filepath.Join(dir, path))
	}
	return dirs, nil
}

// hierarchy is where one is mounted: that of v2 has the number 0 and no controllers.
func (h *Host) hierarchy(id, controllers string) (string, error) {
	names := []string{strings.TrimPrefix(controllers, "name=")}
	switch {
	case h.unified && id == "0":
		return h.root, nil
	case id == "0":
		names = []string{"unified"}
	default:
		names = append(names, strings.Split(controllers, ",")...)
	}
	for _, name := range names {
		dir := filepath.Join(h.root, name)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("hierarchy %s (%s) is not mounted below %s", id, controllers, h.root)
}
