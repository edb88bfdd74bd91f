package api

import (
	"slices"

	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
)

// shapeSummary turns an element of GET /containers/json into what the version knows. It owns s.
func shapeSummary(s *containertypes.Summary, at version) *containertypes.Summary {
	if at.before(52) {
		s.Health = nil
	}
	if at.before(48) {
		s.ImageManifestDescriptor = nil
	}
	if at.before(46) {
		s.HostConfig.Annotations = nil
	}
	if at.before(25) && s.State == containertypes.StateRemoving {
		s.State = containertypes.StateExited
	}
	return s
}

// inspectBefore52 is GET /containers/{id}/json with the fields that were dropped since.
type inspectBefore52 struct {
	*containertypes.InspectResponse
	HostConfig      any
	Config          any
	GraphDriver     *storage.DriverData
	NetworkSettings *networkSettingsBefore52
}

// hostConfigBefore42 still had the limits of kernel memory, which no kernel keeps any more.
type hostConfigBefore42 struct {
	*containertypes.HostConfig
	KernelMemory    int64
	KernelMemoryTCP *int64 `json:",omitempty"` // since 1.40
}

// configBefore52 always has OnBuild.
type configBefore52 struct {
	*containertypes.Config
	OnBuild []string
}

// networkSettingsBefore52 repeats the endpoint in the default bridge network at the top level, as before there were networks.
type networkSettingsBefore52 struct {
	Bridge                 string
	SandboxID              string
	SandboxKey             string
	Ports                  network.PortMap
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	SecondaryIPAddresses   []struct{}
	SecondaryIPv6Addresses []struct{}
	EndpointID             string
	Gateway                string
	GlobalIPv6Address      string
	GlobalIPv6PrefixLen    int
	IPAddress              string
	IPPrefixLen            int
	IPv6Gateway            string
	MacAddress             string
	Networks               map[string]*network.EndpointSettings
}

// shapeInspect turns the newest answer into what the version knows. It owns c, but not what hangs on it: that
// may be the record.
func shapeInspect(c *containertypes.InspectResponse, at version) any {
	if !at.before(56) {
		return c
	}
	host := &containertypes.HostConfig{}
	if c.HostConfig != nil {
		*host = *c.HostConfig
	}
	host.Umask = nil
	if at.before(43) {
		host.Annotations = nil
	}
	c.HostConfig = host
	if !at.before(52) {
		return c
	}
	c.Storage = nil
	if at.before(48) {
		c.ImageManifestDescriptor = nil
	}
	if at.before(25) && c.State != nil && c.State.Status == containertypes.StateRemoving {
		state := *c.State
		state.Status = containertypes.StateExited
		c.State = &state
	}
	old := &inspectBefore52{InspectResponse: c, HostConfig: host, GraphDriver: c.GraphDriver, NetworkSettings: oldNetworkSettings(c, at)}
	if old.GraphDriver == nil {
		old.GraphDriver = &storage.DriverData{Name: c.Driver}
	}
	if c.Config != nil {
		old.Config = configBefore52{c.Config, c.Config.OnBuild}
	}
	if at.before(42) {
		limits := hostConfigBefore42{HostConfig: host}
		if !at.before(40) {
			limits.KernelMemoryTCP = new(int64)
		}
		old.HostConfig = limits
	}
	return old
}

func oldNetworkSettings(c *containertypes.InspectResponse, at version) *networkSettingsBefore52 {
	n := c.NetworkSettings
	if n == nil {
		return nil
	}
	old := &networkSettingsBefore52{SandboxID: n.SandboxID, SandboxKey: n.SandboxKey, Ports: n.Ports, Networks: n.Networks}
	if at.before(45) {
		old.Networks = withShortID(n.Networks, c.ID)
	}
	e := n.Networks[network.NetworkBridge]
	if e == nil {
		return old
	}
	old.EndpointID, old.MacAddress = e.EndpointID, e.MacAddress.String()
	old.IPPrefixLen, old.GlobalIPv6PrefixLen = e.IPPrefixLen, e.GlobalIPv6PrefixLen
	old.Gateway, old.IPAddress = addressText(e.Gateway), addressText(e.IPAddress)
	old.IPv6Gateway, old.GlobalIPv6Address = addressText(e.IPv6Gateway), addressText(e.GlobalIPv6Address)
	return old
}

// withShortID adds the short container ID to the aliases in user-defined networks, where it stood until 1.45.
func withShortID(all map[string]*network.EndpointSettings, id string) map[string]*network.EndpointSettings {
	short := id[:min(len(id), 12)]
	out := make(map[string]*network.EndpointSettings, len(all))
	for name, e := range all {
		if e != nil && containertypes.NetworkMode(name).IsUserDefined() && !slices.Contains(e.Aliases, short) {
			e = e.Copy()
			e.Aliases = append(e.Aliases, short)
		}
		out[name] = e
	}
	return out
}

// addressText is "" for no address.
func addressText(a interface {
	IsValid() bool
	String() string
}) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// shapeStats turns a sample into what the version knows. It owns s.
func shapeStats(s *containertypes.StatsResponse, at version) *containertypes.StatsResponse {
	if at.before(52) {
		s.OSType = ""
	}
	return s
}
