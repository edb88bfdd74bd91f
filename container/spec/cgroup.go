package spec

import (
	"path"
	"strings"
)

// cgroup settles where the container's cgroup is: /PARENT/ID, or SLICE:docker:ID for systemd.
func (b *builder) cgroup() error {
	parent := b.Record.HostConfig.CgroupParent
	if parent == "" {
		parent = b.Daemon.CgroupParent
	}
	if b.Daemon.SystemdCgroup {
		if parent == "" {
			parent = "system.slice"
		}
		if !strings.HasSuffix(parent, ".slice") || strings.ContainsAny(parent, ":/") {
			return invalid(`cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"`)
		}
		b.spec.Linux.CgroupsPath = parent + ":docker:" + b.Record.ID
		return nil
	}
	if parent == "" {
		parent = "docker"
	}
	// The join cleans: the path cannot lead out of the cgroup file system.
	b.spec.Linux.CgroupsPath = path.Join("/", parent, b.Record.ID)
	return nil
}
