// Package cgroup is as much of a container's cgroup as its supervisor needs: did the OOM killer
// strike, stop everything, let it go on, kill it, remove it.
//
// On a v1 host a container has a directory in each hierarchy, on a v2 host one.
// Limits are the runtime's business.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is where the hierarchies are mounted.
type Host struct {
	root    string
	unified bool
	dirs    []string // v1: mount points, one a hierarchy
}

// Find looks at /sys/fs/cgroup.
func Find() (*Host, error) { return At("/sys/fs/cgroup") }

// At looks at the hierarchies below another directory.
func At(root string) (*Host, error) {
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return &Host{root: root, unified: true}, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	h := &Host{root: root}
	seen := map[string]bool{}
	for _, e := range entries {
		dir, err := filepath.EvalSymlinks(filepath.Join(root, e.Name())) // cpu -> cpu,cpuacct
		if err != nil || seen[dir] {
			continue
		}
		seen[dir] = true
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			h.dirs = append(h.dirs, dir)
		}
	}
	return h, nil
}

// Group is one container's place in the hierarchies.
type Group struct {
	host *Host
	path string
}

// Group is the cgroup at a path below every hierarchy. Errors: a path that is the root, or leads out.
func (h *Host) Group(path string) (*Group, error) {
	clean := filepath.Clean("/" + path)
	if clean == "/" {
		return nil, fmt.Errorf("cgroup path %q is the root", path)
	}
	return &Group{host: h, path: clean}, nil
}

// GroupOf is the cgroup that a living process is in.
func (h *Host) GroupOf(pid int) (*Group, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	path, err := parsePath(string(data), h.unified)
	if err != nil {
		return nil, err
	}
	return h.Group(path)
}

// parsePath finds the path in cgroups(7)'s list: "0::" on v2, on v1 that of the memory hierarchy, or
// of any named controller.
func parsePath(list string, unified bool) (string, error) {
	found := ""
	for line := range strings.Lines(list) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		isUnified := parts[0] == "0" && parts[1] == ""
		switch {
		case unified && isUnified:
			return parts[2], nil
		case !unified && parts[1] == "memory":
			return parts[2], nil
		case !unified && !isUnified && found == "":
			found = parts[2]
		}
	}
	if found == "" {
		return "", errors.New("process is in no cgroup")
	}
	return found, nil
}

// Path is below every hierarchy.
func (g *Group) Path() string { return g.path }

// dirs are the container's directories, those that do not exist included.
func (g *Group) dirs() []string {
	if g.host.unified {
		return []string{filepath.Join(g.host.root, g.path)}
	}
	dirs := make([]string, len(g.host.dirs))
	for i, d := range g.host.dirs {
		dirs[i] = filepath.Join(d, g.path)
	}
	return dirs
}

// controller is the container's directory of one controller.
func (g *Group) controller(name string) string {
	if g.host.unified {
		return filepath.Join(g.host.root, g.path)
	}
	return filepath.Join(g.host.root, name, g.path)
}

// Remove removes the container's cgroups and those below them, which have no processes any more. One that is not
// there is not an error.
func (g *Group) Remove() error {
	var errs []error
	for _, d := range g.dirs() {
		errs = append(errs, removeTree(d))
	}
	return errors.Join(errs...)
}

func removeTree(dir string) error {
	err := os.Remove(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	entries, readErr := os.ReadDir(dir)
	if readErr != nil {
		return err
	}
	var errs []error
	below := false
	for _, e := range entries {
		if e.IsDir() {
			below = true
			errs = append(errs, removeTree(filepath.Join(dir, e.Name())))
		}
	}
	if !below {
		return err
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.Remove(dir)
}

// processes lists the processes of a cgroup and of those below it.
func processes(dir string) (pids []int, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if e.IsDir() || e.Name() != "cgroup.procs" {
			return nil
		}
		pids, err = appendPids(pids, path)
		return err
	})
	return pids, err
}

func appendPids(pids []int, path string) ([]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return pids, ignoreGone(err)
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if pid, err := strconv.Atoi(lines.Text()); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, errors.Join(ignoreGone(lines.Err()), f.Close())
}

// ignoreGone drops the errors of a cgroup that has been removed meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func writeFile(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
