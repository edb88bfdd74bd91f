package spec

import (
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/mount"
	sysmount "github.com/moby/sys/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// tmpfs is a mount whose options are those given, over safe defaults.
func tmpfs(dest string, options []string) (specs.Mount, error) {
	all := []string{"noexec", "nosuid", "nodev", "rprivate"}
	for _, o := range options {
		if o != "" {
			all = append(all, o)
		}
	}
	merged, err := sysmount.MergeTmpfsOptions(all)
	if err != nil {
		return specs.Mount{}, invalid("%s", err)
	}
	return specs.Mount{Destination: dest, Type: "tmpfs", Source: "tmpfs", Options: merged}, nil
}

// tmpfsOptions are mount(8)'s for a --mount.
func tmpfsOptions(m mount.Mount) []string {
	var out []string
	if m.ReadOnly {
		out = append(out, "ro")
	}
	o := m.TmpfsOptions
	if o == nil {
		return out
	}
	if o.Mode != 0 {
		out = append(out, fmt.Sprintf("mode=%o", uint32(o.Mode)))
	}
	if o.SizeBytes != 0 {
		out = append(out, fmt.Sprintf("size=%d", o.SizeBytes))
	}
	for _, option := range o.Options {
		out = append(out, strings.Join(option, "="))
	}
	return out
}
