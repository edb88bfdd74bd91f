package api

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
)

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// shape turns a request of any version into the newest form: what the version did not know is dropped, what it
// took for granted is written down. Errors: invalid argument.
func (c *createRequest) shape(at version, mac string, cgroupV2 bool) error {
	forgetUnknownSettings(c.Config, c.HostConfig, at)
	oldDefaults(c.HostConfig, at, cgroupV2)
	if err := shapeMounts(c.HostConfig, at); err != nil {
		return err
	}
	if at.before(44) && len(c.Networking.EndpointsConfig) > 1 {
		names := slices.Sorted(maps.Keys(c.Networking.EndpointsConfig))
		return invalid("Container cannot be connected to network endpoints: %s", strings.Join(names, ", "))
	}
	for _, e := range c.Networking.EndpointsConfig {
		if e != nil {
			forgetUnknownEndpoint(e, at)
		}
	}
	if err := c.shapeMAC(at, mac); err != nil {
		return err
	}
	c.shapePorts(at)
	c.warnVolumeDriver(at)
	return nil
}

// forgetUnknownSettings drops what the version had no name for.
func forgetUnknownSettings(c *containertypes.Config, h *containertypes.HostConfig, at version) {
	if at.before(56) {
		h.Umask = nil
	}
	if at.before(44) && c.Healthcheck != nil {
		c.Healthcheck.StartInterval = 0
	}
	if at.before(43) {
		h.Annotations = nil
	}
	if at.before(42) {
		h.ConsoleSize = [2]uint{}
	}
	if at.before(25) {
		h.AutoRemove = false // the client removes the container
	}
	if h.PidsLimit != nil && *h.PidsLimit <= 0 {
		h.PidsLimit = nil // 0 and any negative number have always meant no limit
	}
}

// oldDefaults writes down the defaults that changed since.
func oldDefaults(h *containertypes.HostConfig, at version, cgroupV2 bool) {
	if at.before(41) && h.CgroupnsMode.IsEmpty() && !cgroupV2 {
		h.CgroupnsMode = containertypes.CgroupnsModeHost
	}
	if at.before(40) && h.IpcMode.IsEmpty() {
		h.IpcMode = containertypes.IPCModeShareable
	}
}

func shapeMounts(h *containertypes.HostConfig, at version) error {
	for i := range h.Mounts {
		m := &h.Mounts[i]
		if at.before(48) && m.Type == mount.TypeImage {
			return invalid(`Mount type "Image" needs API v1.48 or newer`)
		}
		if at.before(46) && m.TmpfsOptions != nil {
			m.TmpfsOptions.Options = nil
		}
		if at.before(45) && m.VolumeOptions != nil && m.VolumeOptions.Subpath != "" {
			return invalid("VolumeOptions.Subpath needs API v1.45 or newer")
		}
		if at.before(42) {
			shapeMountBefore42(m)
		}
		if at.before(44) && m.Type == mount.TypeBind && m.ReadOnly {
			if m.BindOptions == nil {
				m.BindOptions = &mount.BindOptions{}
			}
			// Read-only bind mounts were not recursively read-only.
			m.BindOptions.ReadOnlyNonRecursive, m.BindOptions.ReadOnlyForceRecursive = true, false
		}
		if at.before(40) && m.BindOptions != nil {
			m.BindOptions.NonRecursive = false
		}
	}
	return nil
}

// shapeMountBefore42 drops options of other types of mount, which were not refused.
func shapeMountBefore42(m *mount.Mount) {
	m.ClusterOptions = nil
	if m.Type != mount.TypeBind {
		m.BindOptions = nil
	}
	if m.Type != mount.TypeVolume {
		m.VolumeOptions = nil
	}
	if m.Type != mount.TypeTmpfs {
		m.TmpfsOptions = nil
	}
	if m.BindOptions != nil {
		m.BindOptions.CreateMountpoint = false
	}
}

// shapeMAC moves the container-wide MAC address, which 1.52 dropped, to the endpoint in the main network.
func (c *createRequest) shapeMAC(at version, mac string) error {
	mode := c.HostConfig.NetworkMode
	if mac == "" || !at.before(52) {
		return nil
	}
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return invalid("invalid MAC address: %s", mac)
	}
	if !mode.IsBridge() && !mode.IsUserDefined() && !mode.IsDefault() && mode != "" {
		if at.before(44) {
			return invalid("conflicting options: mac-address and the network mode")
		}
		return c.warnMAC(at)
	}
	e := c.mainEndpoint()
	if e.MacAddress != nil && e.MacAddress.String() != hw.String() {
		return invalid("the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty")
	}
	e.MacAddress = network.HardwareAddr(hw)
	return c.warnMAC(at)
}

func (c *createRequest) warnMAC(at version) error {
	if !at.before(44) {
		c.warnings = append(c.warnings, "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.")
	}
	return nil
}

// mainEndpoint is the endpoint in the network of the network mode, made if it is missing.
func (c *createRequest) mainEndpoint() *network.EndpointSettings {
	name := c.HostConfig.NetworkMode.NetworkName()
	if name == "" || name == network.NetworkDefault {
		name = network.NetworkBridge
	}
	if c.Networking.EndpointsConfig == nil {
		c.Networking.EndpointsConfig = map[string]*network.EndpointSettings{}
	}
	if c.Networking.EndpointsConfig[name] == nil {
		c.Networking.EndpointsConfig[name] = &network.EndpointSettings{}
	}
	return c.Networking.EndpointsConfig[name]
}

// shapePorts gives a port without bindings an empty one, as versions before 1.53 meant it: any port of the host.
func (c *createRequest) shapePorts(at version) {
	if !at.before(53) {
		return
	}
	var empty []string
	for port, bindings := range c.HostConfig.PortBindings {
		if len(bindings) == 0 {
			c.HostConfig.PortBindings[port] = []network.PortBinding{{}}
			empty = append(empty, port.String())
		}
	}
	if at == v(52) && len(empty) > 0 {
		slices.Sort(empty)
		c.warnings = append(c.warnings, fmt.Sprintf(
			"Following container port(s) have an empty list of port-bindings: %s. Starting with API 1.53, such bindings will be discarded.",
			strings.Join(empty, ", ")))
	}
}

// warnVolumeDriver tells of a driver that does not count for mounts; the CLI did so before 1.48.
func (c *createRequest) warnVolumeDriver(at version) {
	ofVolume := func(m mount.Mount) bool { return m.Type == mount.TypeVolume }
	if at.before(48) || c.HostConfig.VolumeDriver == "" || !slices.ContainsFunc(c.HostConfig.Mounts, ofVolume) {
		return
	}
	c.warnings = append(c.warnings, "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead")
}

// forgetUnknownUpdates drops what POST /containers/{id}/update ignored in the version.
func forgetUnknownUpdates(u *containertypes.UpdateConfig, at version) {
	if at.before(55) {
		u.BlkioWeightDevice, u.BlkioDeviceReadBps, u.BlkioDeviceWriteBps = nil, nil, nil
		u.BlkioDeviceReadIOps, u.BlkioDeviceWriteIOps = nil, nil
	}
	if at.before(40) {
		u.PidsLimit = nil
	}
	if at.before(28) {
		u.NanoCPUs = 0
	}
	if u.PidsLimit != nil && *u.PidsLimit <= 0 {
		u.PidsLimit = new(int64) // 0 and any negative number mean no limit
	}
}
