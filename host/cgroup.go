package host

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Cgroups is where the control groups of this host are.
type Cgroups struct {
	Version int  // 1 or 2; 0 if nothing is mounted
	Hybrid  bool // version 1 limits resources, and version 2 is mounted beside it without controllers
	// Controllers are the directories of their hierarchies, by name: "memory", "cpu", ... All the same with version 2.
	Controllers map[string]string
	Unified     string // directory of the version 2 hierarchy; "" if there is none
}

// neededController is what keeps a container from the host's devices.
const neededController = "devices"

// readCgroups looks at what is mounted where. Errors: the mount table cannot be read.
func readCgroups(root string) (Cgroups, error) {
	f, err := os.Open(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return Cgroups{}, err
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return Cgroups{}, fmt.Errorf("read the mount table: %w", err)
	}
	c := Cgroups{Controllers: map[string]string{}}
	for _, m := range mounts {
		dir := filepath.Join(root, m.Mountpoint)
		if m.FSType == "cgroup2" {
			if c.Unified == "" {
				c.Unified = dir
			}
			continue
		}
		for option := range strings.SplitSeq(m.VFSOptions, ",") {
			if _, seen := c.Controllers[option]; !seen && isController(option) {
				c.Controllers[option] = dir
			}
		}
	}
	c.settle()
	return c, nil
}

// isController tells the controllers among the options of a hierarchy, which are its only other ones.
func isController(option string) bool {
	return option != "rw" && option != "ro" && option != "xattr" && option != "clone_children" && option != "noprefix" &&
		option != "all" && option != "seclabel" && !strings.Contains(option, "=")
}

// settle decides which version limits resources.
func (c *Cgroups) settle() {
	switch {
	case len(c.Controllers) > 0:
		c.Version, c.Hybrid = 1, c.Unified != ""
	case c.Unified != "":
		c.Version = 2
		for _, name := range bytes.Fields(readFile(c.Unified, "cgroup.controllers")) {
			c.Controllers[string(name)] = c.Unified
		}
		// Version 2 has BPF programs for devices and cgroup.freeze in place of the controllers.
		c.Controllers[neededController], c.Controllers["freezer"] = c.Unified, c.Unified
	}
}

// Names lists the controllers, sorted.
func (c Cgroups) Names() []string { return slices.Sorted(maps.Keys(c.Controllers)) }

// check says what is missing to run containers.
func (c Cgroups) check() error {
	switch {
	case c.Version == 0:
		return errors.New("no control groups are mounted: mount cgroup2 on /sys/fs/cgroup")
	case c.Controllers[neededController] == "":
		return errors.New("devices cgroup isn't mounted: without it, containers cannot be kept from the host's devices")
	}
	return nil
}

// has reports whether the controller has this file.
func (c Cgroups) has(controller, file string) bool {
	dir, ok := c.Controllers[controller]
	if !ok {
		return false
	}
	if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
		return true
	}
	return c.Version == 2 && c.below(dir, file)
}

// below looks in the groups of the first level: the root group of version 2 has no files of limits.
func (c Cgroups) below(dir, file string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, e.Name(), file)); err == nil {
			return true
		}
	}
	return false
}

func readFile(dir, name string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	return data
}
