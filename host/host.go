// Package host is facts about the machine: its kernel, control groups, limits and identity, read once when the daemon starts.
//
// A fact is what a file of procfs or sysfs says. A controller is a part of the cgroup subsystem that limits one kind of
// resource; version 1 mounts each in a hierarchy of its own, version 2 has one hierarchy, and a hybrid host has
// both. A ceiling is how far this process may raise a resource limit.
//
// Only Raise and package listen change anything. Nothing here decides what to do about a missing fact; Check alone says
// whether containers can run at all.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Config says where the facts are read.
type Config struct {
	Root string // directory that has proc, sys and etc; "" for /
}

// Host is what this machine is and can do. It does not change.
type Host struct {
	Hostname     string
	Kernel       Kernel
	OS           OS
	Architecture string // as uname -m says: x86_64
	CPUs         int    // that this process may use
	Memory       int64  // bytes
	Cgroups      Cgroups
	Limits       Limits
	Ceilings     Ceilings
	Namespaces   []string // kinds, as in /proc/self/ns: "net", "user", sorted
	Overlay      bool     // overlayfs is in the kernel; false may mean that its module is not loaded yet
	UserNS       bool     // this process is in a user namespace
	Rootless     bool     // this process's root is somebody else outside
	Seccomp      bool
	AppArmor     bool

	root string
}

// Kernel is the running kernel's version.
type Kernel struct {
	Release      string // as uname -r says
	Major, Minor int
}

// AtLeast compares the version.
func (k Kernel) AtLeast(major, minor int) bool {
	return k.Major > major || k.Major == major && k.Minor >= minor
}

// Open reads all facts. What cannot be read is left out, since containers and sandboxes hide files; Check tells
// what is needed. Errors: procfs is not there.
func Open(_ context.Context, cfg Config) (*Host, error) {
	h := &Host{root: cfg.Root, CPUs: runtime.NumCPU()}
	if h.root == "" {
		h.root = "/"
	}
	if _, err := os.Stat(h.path("proc/self/mountinfo")); err != nil {
		return nil, fmt.Errorf("procfs is not mounted on /proc: %w", err)
	}
	if err := h.readIdentity(); err != nil {
		return nil, err
	}
	h.OS = readOS(h.root)
	h.Memory = h.readMemory()
	h.readUserNamespace()
	h.Namespaces = h.readNamespaces()
	h.Overlay = h.hasFilesystem("overlay")
	h.Seccomp = h.exists("proc/sys/kernel/seccomp/actions_avail")
	h.AppArmor = bytes.HasPrefix(h.read("sys/module/apparmor/parameters/enabled"), []byte("Y"))
	cgroups, err := readCgroups(h.root)
	if err != nil {
		return nil, err
	}
	h.Cgroups = cgroups
	h.Limits = cgroups.limits()
	h.Ceilings = h.readCeilings()
	return h, nil
}

// readIdentity asks uname(2), except for the release, which a fake tree may have.
func (h *Host) readIdentity() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	h.Hostname = unix.ByteSliceToString(u.Nodename[:])
	h.Architecture = unix.ByteSliceToString(u.Machine[:])
	release := string(bytes.TrimSpace(h.read("proc/sys/kernel/osrelease")))
	if release == "" {
		release = unix.ByteSliceToString(u.Release[:])
	}
	h.Kernel = parseRelease(release)
	return nil
}

// parseRelease reads "6.1.0-18-amd64". Parts that are not numbers are zero.
func parseRelease(release string) Kernel {
	k := Kernel{Release: release}
	major, rest, _ := strings.Cut(release, ".")
	k.Major, _ = strconv.Atoi(major)
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	k.Minor, _ = strconv.Atoi(rest[:end])
	return k
}

// readMemory returns what meminfo says, in bytes; 0 if it says nothing.
func (h *Host) readMemory() int64 {
	for line := range bytes.Lines(h.read("proc/meminfo")) {
		fields := bytes.Fields(line)
		if len(fields) >= 2 && string(fields[0]) == "MemTotal:" {
			kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

func (h *Host) readNamespaces() []string {
	entries, err := os.ReadDir(h.path("proc/self/ns"))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "_for_children") {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out
}

// hasFilesystem looks in the list of those that the kernel has now.
func (h *Host) hasFilesystem(name string) bool {
	for line := range bytes.Lines(h.read("proc/filesystems")) {
		fields := bytes.Fields(line)
		if len(fields) > 0 && string(fields[len(fields)-1]) == name {
			return true
		}
	}
	return false
}

// readUserNamespace looks at who is root here: in the first user namespace every ID is itself.
func (h *Host) readUserNamespace() {
	fields := strings.Fields(string(h.read("proc/self/uid_map")))
	if len(fields) < 3 {
		return
	}
	whole := strconv.FormatUint(1<<32-1, 10)
	h.UserNS = len(fields) != 3 || fields[0] != "0" || fields[1] != "0" || fields[2] != whole
	h.Rootless = h.UserNS && fields[0] == "0" && fields[1] != "0"
}

// IPv4Forwarding asks the kernel now: it changes while the daemon runs.
func (h *Host) IPv4Forwarding() bool {
	return string(bytes.TrimSpace(h.read("proc/sys/net/ipv4/ip_forward"))) == "1"
}

// CgroupnsMode is the default of containers: Docker's is private with cgroup version 2, host before.
func (h *Host) CgroupnsMode() string {
	if h.Cgroups.Version == 2 {
		return "private"
	}
	return "host"
}

func (h *Host) path(name string) string { return filepath.Join(h.root, name) }

// read returns nothing for what is not there: a fact less.
func (h *Host) read(name string) []byte {
	data, err := os.ReadFile(h.path(name))
	if err != nil {
		return nil
	}
	return data
}

func (h *Host) exists(name string) bool {
	_, err := os.Lstat(h.path(name))
	return err == nil
}

// neededNamespaces are part of every container.
func neededNamespaces() []string { return []string{"ipc", "mnt", "net", "pid", "uts"} }

// Check says what this host lacks to run containers; nil if nothing.
func (h *Host) Check() error {
	var errs []error
	// openat2(2), by which paths inside containers are resolved, came with 5.6.
	if !h.Kernel.AtLeast(5, 6) {
		errs = append(errs, fmt.Errorf("the kernel is %s: Linux 5.6 or later is needed", h.Kernel.Release))
	}
	for _, kind := range neededNamespaces() {
		if !slices.Contains(h.Namespaces, kind) {
			errs = append(errs, fmt.Errorf("the kernel has no %s namespaces: it must be built with CONFIG_NAMESPACES and the option for them", kind))
		}
	}
	errs = append(errs, h.Cgroups.check())
	return errors.Join(errs...)
}
