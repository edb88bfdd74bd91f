package spec

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (b *builder) namespaces() error {
	h := b.Record.HostConfig
	b.join(specs.MountNamespace, "")
	if b.remapped() {
		b.join(specs.UserNamespace, "")
		b.spec.Linux.UIDMappings = b.Daemon.UIDMaps
		b.spec.Linux.GIDMappings = b.Daemon.GIDMaps
	}
	switch {
	case b.Netns != "":
		b.join(specs.NetworkNamespace, b.Netns)
	case b.Record.Config.NetworkDisabled:
		b.join(specs.NetworkNamespace, "") // new, with nothing in it
	}
	if !h.IpcMode.IsHost() {
		b.join(specs.IPCNamespace, b.IPC)
	}
	if !h.PidMode.IsHost() {
		b.join(specs.PIDNamespace, b.PID)
	}
	if !h.UTSMode.IsHost() {
		b.join(specs.UTSNamespace, "")
	}
	if h.CgroupnsMode.IsPrivate() || h.CgroupnsMode.IsEmpty() && b.Daemon.Cgroup2 {
		b.join(specs.CgroupNamespace, "")
	}
	return nil
}

// join adds a namespace: a new one, or that at path.
func (b *builder) join(kind specs.LinuxNamespaceType, path string) {
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
}

func (b *builder) has(kind specs.LinuxNamespaceType) bool {
	for _, ns := range b.spec.Linux.Namespaces {
		if ns.Type == kind {
			return true
		}
	}
	return false
}

func (b *builder) hostname() error {
	if b.has(specs.UTSNamespace) {
		b.spec.Hostname = b.Record.Config.Hostname
	}
	return nil
}

// sysctls sets what Docker grants every container, then the user's.
func (b *builder) sysctls() error {
	set := map[string]string{}
	if name := b.Record.Config.Domainname; name != "" && b.has(specs.UTSNamespace) {
		set["kernel.domainname"] = name // older runtimes know no other way
	}
	if b.Netns != "" && b.Record.HostConfig.NetworkMode.IsPrivate() {
		// Both are allowed by capabilities that containers have anyway.
		set["net.ipv4.ip_unprivileged_port_start"] = "0"
		if !b.remapped() { // the group range is not mapped there
			set["net.ipv4.ping_group_range"] = "0 2147483647"
		}
	}
	for name, value := range b.Record.HostConfig.Sysctls {
		if err := b.checkSysctl(name); err != nil {
			return err
		}
		set[name] = value
	}
	if len(set) > 0 {
		b.spec.Linux.Sysctl = set
	}
	return nil
}

// ipcSysctls are those of the IPC namespace that do not share a prefix: ipc_namespaces(7).
var ipcSysctls = map[string]bool{
	"kernel.msgmax": true, "kernel.msgmnb": true, "kernel.msgmni": true, "kernel.sem": true,
	"kernel.shmall": true, "kernel.shmmax": true, "kernel.shmmni": true, "kernel.shm_rmid_forced": true,
}

// checkSysctl refuses what would change the host, or another container's namespace of which this one has no own.
func (b *builder) checkSysctl(name string) error {
	parts := sysctlParts(name)
	for _, p := range parts {
		if p == "" || p == "." || p == ".." {
			return invalid("invalid sysctl name: %q", name)
		}
	}
	dotted := strings.Join(parts, ".")
	switch {
	case ipcSysctls[dotted] || strings.HasPrefix(dotted, "fs.mqueue."):
		if !b.has(specs.IPCNamespace) {
			return invalid("sysctl %q is not allowed in the hosts ipc namespace", dotted)
		}
	case strings.HasPrefix(dotted, "net."):
		if !b.has(specs.NetworkNamespace) {
			return invalid("sysctl %q not allowed in host network namespace", dotted)
		}
	case dotted == "kernel.domainname" && b.has(specs.UTSNamespace):
	case dotted == "kernel.hostname" && b.has(specs.UTSNamespace):
		return invalid("sysctl %q is not allowed as it conflicts with the OCI %q field", dotted, "hostname")
	default:
		return invalid("sysctl %q is not in a separate kernel namespace", dotted)
	}
	return nil
}

// sysctlParts splits both notations of sysctl(8): the first separator decides, so that
// net/ipv4/conf/eth0.1/forwarding keeps the dot in the interface's name.
func sysctlParts(name string) []string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		return strings.Split(name, "/")
	}
	return strings.Split(name, ".")
}
