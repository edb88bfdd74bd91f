package spec

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mountTable makes the mounts of a container.
type mountTable struct{ *builder }

// mounts are the default ones that nothing of the user's replaces, then the user's, parents before children.
func (b mountTable) mounts() error {
	user, err := b.userMounts()
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, m := range user {
		if taken[m.Destination] {
			return invalid("Duplicate mount point: %s", m.Destination)
		}
		taken[m.Destination] = true
	}
	list := b.keepDefaults(taken)
	if b.wantsInit() {
		list = append(list, specs.Mount{Destination: initPath, Type: "bind", Source: b.Daemon.InitPath, Options: []string{"bind", "ro"}})
	}
	for _, m := range b.engineMounts() {
		if !taken[m.Destination] {
			user = append(user, m)
		}
	}
	slices.SortStableFunc(user, func(a, c specs.Mount) int {
		return cmp.Or(cmp.Compare(depth(a.Destination), depth(c.Destination)), cmp.Compare(a.Destination, c.Destination))
	})
	b.spec.Mounts = append(list, user...)
	return nil
}

func depth(p string) int { return strings.Count(path.Clean(p), "/") }

// keepDefaults returns the default mounts whose place the user has not taken.
func (b mountTable) keepDefaults(taken map[string]bool) []specs.Mount {
	return slices.DeleteFunc(b.defaultMounts(), func(m specs.Mount) bool {
		return taken[m.Destination] ||
			taken["/dev"] && strings.HasPrefix(m.Destination, "/dev/") ||
			m.Destination == "/dev/shm" && (b.Shm != "" || b.Record.HostConfig.IpcMode.IsNone())
	})
}

func (b mountTable) defaultMounts() []specs.Mount {
	h := b.Record.HostConfig
	shm := h.ShmSize
	if shm == 0 {
		shm = b.Daemon.ShmSize
	}
	if shm == 0 {
		shm = 64 << 20
	}
	sys, cgroup := "ro", "ro"
	if h.Privileged {
		sys = "rw"
	}
	if b.writableCgroups() {
		cgroup = "rw"
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", sys}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{cgroup, "nosuid", "noexec", "nodev"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(shm, 10)}},
	}
}

// writableCgroups: a user namespace cannot change the read-only flag, so there it is left off.
func (b mountTable) writableCgroups() bool {
	if b.options.WritableCgroups != nil {
		return *b.options.WritableCgroups
	}
	return b.Record.HostConfig.Privileged || b.remapped()
}

// engineMounts are what the daemon puts over the image: the network's files and a shared /dev/shm.
func (b mountTable) engineMounts() []specs.Mount {
	var out []specs.Mount
	add := func(source, dest string, readonly bool) {
		if source == "" {
			return
		}
		m := specs.Mount{Destination: dest, Type: "bind", Source: source, Options: []string{"rbind"}}
		if readonly {
			m.Options = append(m.Options, "ro")
		}
		m.Options = append(m.Options, "rprivate")
		out = append(out, m)
	}
	readonly := b.Record.HostConfig.ReadonlyRootfs
	add(b.ResolvConf, "/etc/resolv.conf", readonly)
	add(b.Hostname, "/etc/hostname", readonly)
	add(b.Hosts, "/etc/hosts", readonly)
	if !b.Record.HostConfig.IpcMode.IsNone() {
		add(b.Shm, "/dev/shm", false)
	}
	return out
}

func (b mountTable) userMounts() ([]specs.Mount, error) {
	var out []specs.Mount
	for dest, options := range b.Record.HostConfig.Tmpfs {
		m, err := tmpfs(dest, strings.Split(options, ","))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	for _, m := range b.Mounts {
		var made specs.Mount
		var err error
		if m.Type == mount.TypeTmpfs {
			made, err = tmpfs(m.Destination, tmpfsOptions(m.Spec))
		} else {
			made, err = b.bind(m)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}

// bind mounts a directory or file of the host: a bind, a volume's data, an image's tree.
func (b mountTable) bind(m Mount) (specs.Mount, error) {
	o := m.Spec.BindOptions
	if o == nil {
		o = &mount.BindOptions{}
	}
	options := []string{"rbind"}
	if o.NonRecursive {
		options[0] = "bind"
	}
	if !m.RW {
		ro, err := b.readonly(o)
		if err != nil {
			return specs.Mount{}, err
		}
		options = append(options, ro)
	}
	propagation := m.Propagation
	if propagation == "" {
		propagation = mount.PropagationRPrivate
	}
	if err := b.propagate(m.Source, propagation); err != nil {
		return specs.Mount{}, err
	}
	options = append(options, string(propagation))
	return specs.Mount{Destination: m.Destination, Type: "bind", Source: m.Source, Options: options}, nil
}

// readonly is recursive where the kernel can do it, since a bind brings the mounts below it along.
func (b mountTable) readonly(o *mount.BindOptions) (string, error) {
	switch {
	case o.ReadOnlyNonRecursive && o.ReadOnlyForceRecursive:
		return "", invalid("mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive")
	case o.ReadOnlyForceRecursive && b.Daemon.RecursiveROless:
		return "", invalid("recursive read-only mounts need Linux 5.12 or newer")
	case o.ReadOnlyNonRecursive || b.Daemon.RecursiveROless:
		return "ro", nil
	}
	return "rro", nil
}

// propagate lets mounts through the root file system as far as one of the container's mounts
// needs it, and refuses a source that propagates nothing.
func (b mountTable) propagate(source string, p mount.Propagation) error {
	kind := strings.TrimPrefix(string(p), "r")
	if kind != "shared" && kind != "slave" {
		return nil
	}
	point, shared, slave, err := b.Daemon.Host.mountOf(source)
	if err != nil {
		return fmt.Errorf("find the mount of %s: %w", source, err)
	}
	root := &b.spec.Linux.RootfsPropagation
	if kind == "shared" {
		if !shared {
			return invalid("path %s is mounted on %s but it is not a shared mount", source, point)
		}
		*root = "shared"
		return nil
	}
	if !shared && !slave {
		return invalid("path %s is mounted on %s but it is not a shared or slave mount", source, point)
	}
	if *root == "" {
		*root = "rslave"
	}
	return nil
}
