package api

import (
	"strings"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

// infoBefore53 is GET /info with the fields that were dropped since. A nil pointer is a field that the
// version does not have.
type infoBefore53 struct {
	*system.Info
	KernelMemory      *bool `json:",omitempty"` // before 1.42; no kernel limits it any more
	KernelMemoryTCP   *bool `json:",omitempty"` // 1.40 and 1.41; after it, only where supported
	BridgeNfIptables  *bool `json:",omitempty"` // before 1.50; false since br_netfilter is loaded when it is needed
	BridgeNfIP6tables *bool `json:"BridgeNfIp6tables,omitempty"`
	ContainerdCommit  any
	RuncCommit        any
	InitCommit        any
	RegistryConfig    any
	CDISpecDirs       any `json:",omitempty"`
	Warnings          any `json:",omitempty"`
	SecurityOptions   []string
	ExecutionDriver   string `json:",omitempty"` // before 1.25, which dropped it with containerd
	Runtimes          map[string]system.RuntimeWithStatus
}

// commitBefore49 said which version was expected, too.
type commitBefore49 struct{ ID, Expected string }

// registryBefore49 still had the lists of registries that foreign layers may be pushed to.
type registryBefore49 struct {
	AllowNondistributableArtifactsCIDRs     []string
	AllowNondistributableArtifactsHostnames []string
	*registry.ServiceConfig
}

// shapeInfo turns the newest answer into what the version knows.
func shapeInfo(info *system.Info, at version) any {
	if !at.before(53) {
		return info
	}
	out := *info
	out.NRI = nil
	if at.before(50) {
		out.DiscoveredDevices = nil
	}
	if at.before(49) {
		out.FirewallBackend = nil
	}
	if at.before(46) {
		out.Containerd = nil
	}
	if at.before(41) {
		out.DefaultAddressPools, out.CgroupVersion = nil, ""
	}
	if at.before(39) {
		out.KernelVersion = orUnknown(out.KernelVersion)
		out.OperatingSystem = orUnknown(out.OperatingSystem)
	}
	old := &infoBefore53{
		Info: &out, SecurityOptions: out.SecurityOptions, Runtimes: out.Runtimes,
		ContainerdCommit: out.ContainerdCommit, RuncCommit: out.RuncCommit, InitCommit: out.InitCommit, RegistryConfig: out.RegistryConfig,
	}
	return old.restore(at)
}

func (o *infoBefore53) restore(at version) *infoBefore53 {
	no := new(bool)
	if !at.before(44) {
		o.CDISpecDirs = append([]string{}, o.Info.CDISpecDirs...)
	} else {
		o.Runtimes = withoutStatus(o.Info.Runtimes)
	}
	if !at.before(39) {
		o.Warnings = o.Info.Warnings
	}
	if at.before(50) {
		o.BridgeNfIptables, o.BridgeNfIP6tables = no, no
	}
	if at.before(49) {
		o.ContainerdCommit = commitBefore49{o.Info.ContainerdCommit.ID, o.Info.ContainerdCommit.ID}
		o.RuncCommit = commitBefore49{o.Info.RuncCommit.ID, o.Info.RuncCommit.ID}
		o.InitCommit = commitBefore49{o.Info.InitCommit.ID, o.Info.InitCommit.ID}
		o.RegistryConfig = registryBefore49{ServiceConfig: o.Info.RegistryConfig}
		if at.before(48) {
			o.RegistryConfig = registryBefore49{[]string{}, []string{}, o.Info.RegistryConfig}
		}
	}
	if at.before(42) {
		o.KernelMemory = no
		if !at.before(40) {
			o.KernelMemoryTCP = no
		}
	}
	if at.before(25) {
		o.SecurityOptions = namesOf(o.Info.SecurityOptions)
		o.ExecutionDriver = "<not supported>"
	}
	return o
}

func orUnknown(s string) string {
	if s == "" {
		return "<unknown>"
	}
	return s
}

func withoutStatus(all map[string]system.RuntimeWithStatus) map[string]system.RuntimeWithStatus {
	out := make(map[string]system.RuntimeWithStatus, len(all))
	for name, r := range all {
		out[name] = system.RuntimeWithStatus{Runtime: r.Runtime}
	}
	return out
}

// namesOf turns "name=seccomp,profile=builtin" into "seccomp".
func namesOf(options []string) []string {
	out := []string{}
	for _, option := range options {
		for field := range strings.SplitSeq(option, ",") {
			if name, found := strings.CutPrefix(field, "name="); found {
				out = append(out, name)
			}
		}
	}
	return out
}

// diskUsageBefore53 is GET /system/df with lists of everything.
type diskUsageBefore53 struct {
	LayersSize  int64
	Images      any
	Containers  []any
	Volumes     []*volume.Volume
	BuildCache  []*build.CacheRecord
	BuilderSize *int64 `json:",omitempty"` // before 1.42
	*system.DiskUsage
}

// shapeDiskUsage turns the newest answer into what the version knows; 1.52 has both forms.
func shapeDiskUsage(u *system.DiskUsage, at version, verbose bool) any {
	var images any
	if u.ImageUsage != nil {
		images = shapeImageList(u.ImageUsage.Items, at)
	}
	if !at.before(53) || verbose {
		return u
	}
	old := &diskUsageBefore53{}
	if u.ImageUsage != nil {
		old.LayersSize = u.ImageUsage.TotalSize
		old.Images = images
	}
	if u.ContainerUsage != nil {
		old.Containers = []any{}
		for i := range u.ContainerUsage.Items {
			old.Containers = append(old.Containers, shapeSummary(&u.ContainerUsage.Items[i], at))
		}
	}
	if u.VolumeUsage != nil {
		old.Volumes = []*volume.Volume{}
		for i := range u.VolumeUsage.Items {
			old.Volumes = append(old.Volumes, &u.VolumeUsage.Items[i])
		}
	}
	if u.BuildCacheUsage != nil {
		old.BuildCache = []*build.CacheRecord{}
		for i := range u.BuildCacheUsage.Items {
			old.BuildCache = append(old.BuildCache, &u.BuildCacheUsage.Items[i])
		}
	}
	if at.before(42) {
		old.BuilderSize = new(int64)
	}
	if at == v(52) {
		sums := *u
		old.DiskUsage = withoutItems(&sums)
	}
	return old
}

// withoutItems keeps the sums alone.
func withoutItems(u *system.DiskUsage) *system.DiskUsage {
	if u.ImageUsage != nil {
		sums := *u.ImageUsage
		sums.Items, u.ImageUsage = nil, &sums
	}
	if u.ContainerUsage != nil {
		sums := *u.ContainerUsage
		sums.Items, u.ContainerUsage = nil, &sums
	}
	if u.VolumeUsage != nil {
		sums := *u.VolumeUsage
		sums.Items, u.VolumeUsage = nil, &sums
	}
	if u.BuildCacheUsage != nil {
		sums := *u.BuildCacheUsage
		sums.Items, u.BuildCacheUsage = nil, &sums
	}
	return u
}
