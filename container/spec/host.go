package spec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Host answers questions about this host at the time of a start. The zero value asks the host itself.
type Host struct {
	// Devices returns the device nodes at path: one, or all below a directory, under their names on the
	// host as reached by path. Errors: not exist; not a device.
	Devices func(path string) ([]specs.LinuxDevice, error)
	// MountOf returns the mount point that path is on, and whether that is shared, and slave.
	MountOf func(path string) (point string, shared, slave bool, err error)
}

var errNotADevice = errors.New("not a device node")

func (h Host) devices(path string) ([]specs.LinuxDevice, error) {
	if h.Devices != nil {
		return h.Devices(path)
	}
	return deviceNodes(path)
}

func (h Host) mountOf(path string) (point string, shared, slave bool, err error) {
	if h.MountOf != nil {
		return h.MountOf(path)
	}
	return mountOf(path)
}

// skipped directories of /dev are file systems of the host's own there, or belong to other containers.
func skipped(dir string) bool {
	switch dir {
	case "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev":
		return true
	}
	return false
}

func deviceNodes(path string) ([]specs.LinuxDevice, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(resolved)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		node, ok := deviceNode(resolved)
		if !ok {
			return nil, errNotADevice
		}
		node.Path = path
		return []specs.LinuxDevice{node}, nil
	}
	var out []specs.LinuxDevice
	err = filepath.WalkDir(resolved, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // it went away meanwhile
		case e.IsDir() && name != resolved && skipped(e.Name()):
			return filepath.SkipDir
		case name == "/dev/console": // the container has its own
			return nil
		}
		if node, ok := deviceNode(name); ok {
			node.Path = path + strings.TrimPrefix(name, resolved)
			out = append(out, node)
		}
		return nil
	})
	return out, err
}

// deviceNode does not follow links: a name in /dev that is one is not a node.
func deviceNode(path string) (specs.LinuxDevice, bool) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return specs.LinuxDevice{}, false
	}
	kind := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		kind = "b"
	case unix.S_IFCHR:
		kind = "c"
	default:
		return specs.LinuxDevice{}, false
	}
	mode := os.FileMode(st.Mode & 0o777)
	return specs.LinuxDevice{
		Path: path, Type: kind, FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
		Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)),
	}, true
}

func mountOf(path string) (point string, shared, slave bool, err error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", false, false, err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(resolved))
	if err != nil {
		return "", false, false, err
	}
	for _, m := range mounts {
		if len(m.Mountpoint) >= len(point) { // the last of equals is on top
			point = m.Mountpoint
			shared = strings.Contains(m.Optional, "shared:")
			slave = strings.Contains(m.Optional, "master:")
		}
	}
	return point, shared, slave, nil
}
