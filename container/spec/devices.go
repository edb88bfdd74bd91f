package spec

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// allAccess is read, write and mknod(2).
const allAccess = "rwm"

func (b *builder) devices() error {
	if b.Record.HostConfig.Privileged {
		return b.allDevices()
	}
	rules := defaultDeviceRules()
	for _, m := range b.Record.HostConfig.Devices {
		access := m.CgroupPermissions
		if access == "" {
			access = allAccess
		}
		if strings.Trim(access, allAccess) != "" {
			return invalid("invalid mode for device: %s", access)
		}
		nodes, err := b.mapped(m)
		if err != nil {
			return err
		}
		for _, node := range nodes {
			rules = append(rules, deviceRule(true, node.Type, node.Major, node.Minor, access))
		}
		b.spec.Linux.Devices = append(b.spec.Linux.Devices, nodes...)
	}
	for _, text := range b.Record.HostConfig.DeviceCgroupRules {
		rule, err := parseDeviceRule(text)
		if err != nil {
			return err
		}
		rules = append(rules, rule)
	}
	b.spec.Linux.Resources.Devices = rules
	return nil
}

// allDevices gives a privileged container every device of the host, those that appear later included.
func (b *builder) allDevices() error {
	nodes, err := b.Daemon.Host.devices("/dev")
	if err != nil {
		return err
	}
	for _, m := range b.Record.HostConfig.Devices {
		if m.PathOnHost == m.PathInContainer {
			continue
		}
		more, err := b.mapped(m)
		if err != nil {
			return err
		}
		nodes = append(nodes, more...)
	}
	b.spec.Linux.Devices = nodes
	b.spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: allAccess}}
	return nil
}

// mapped returns the device, or all devices below a directory, under their names in the container.
func (b *builder) mapped(m container.DeviceMapping) ([]specs.LinuxDevice, error) {
	inside := m.PathInContainer
	if inside == "" {
		inside = m.PathOnHost
	}
	nodes, err := b.Daemon.Host.devices(m.PathOnHost)
	if err == nil && len(nodes) == 0 {
		err = errNotADevice
	}
	if err != nil {
		return nil, invalid("error gathering device information while adding custom device %q: %s", m.PathOnHost, err)
	}
	for i := range nodes {
		nodes[i].Path = inside + strings.TrimPrefix(nodes[i].Path, m.PathOnHost)
	}
	return nodes, nil
}

// requested adds the devices of --gpus and of CDI names given to --device. It comes after the mounts, since a
// vendor may mount libraries as well.
func (b *builder) requested() error {
	for _, r := range b.Record.HostConfig.DeviceRequests {
		if r.Driver != "cdi" || b.Daemon.CDI == nil {
			return invalid("could not select device driver %q with capabilities: %v", r.Driver, r.Capabilities)
		}
		if err := b.Daemon.CDI(b.spec, r.DeviceIDs); err != nil {
			return err
		}
	}
	return nil
}

// defaultDeviceRules allow what is in every container's /dev; runtimes add the terminals.
// 10:229 is FUSE, which old kernels let escape.
func defaultDeviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{{Allow: false, Access: allAccess}}
	// zero, null, urandom, random, tty, console
	for _, n := range [][2]int64{{1, 5}, {1, 3}, {1, 9}, {1, 8}, {5, 0}, {5, 1}} {
		rules = append(rules, deviceRule(true, "c", n[0], n[1], allAccess))
	}
	return append(rules, deviceRule(false, "c", 10, 229, allAccess))
}

func deviceRule(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
}

// ruleFormat is that of devices.allow of cgroup v1, which --device-cgroup-rule takes over.
var ruleFormat = regexp.MustCompile(`^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$`)

func parseDeviceRule(text string) (specs.LinuxDeviceCgroup, error) {
	m := ruleFormat.FindStringSubmatch(text)
	if m == nil {
		return specs.LinuxDeviceCgroup{}, invalid("invalid device cgroup rule format: '%s'", text)
	}
	rule := specs.LinuxDeviceCgroup{Allow: true, Type: m[1], Access: m[4]}
	for _, part := range []struct {
		text string
		to   **int64
		name string
	}{{m[2], &rule.Major, "major"}, {m[3], &rule.Minor, "minor"}} {
		if part.text == "*" {
			continue // no number is every number
		}
		number, err := strconv.ParseInt(part.text, 10, 32)
		if err != nil {
			return specs.LinuxDeviceCgroup{}, invalid("invalid %s value in device cgroup rule format: '%s'", part.name, text)
		}
		*part.to = &number
	}
	return rule, nil
}
