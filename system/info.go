package system

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"gantry/config"
	"gantry/container/spec/cdi"
	"gantry/internal/version"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
)

// Info is GET /info in its newest shape. Errors: the image store's.
func (s *Service) Info(ctx context.Context) (*system.Info, error) {
	defer s.observe("system_info", time.Now())
	set := s.settings.Load()
	images, err := s.cfg.Images.Count(ctx)
	if err != nil {
		return nil, err
	}
	info := &system.Info{
		ID:                 s.cfg.ID,
		Images:             images,
		Plugins:            s.plugins(),
		Debug:              set.Log.Debug,
		NFd:                openFiles(),
		NGoroutines:        runtime.NumGoroutine(),
		SystemTime:         time.Now().Format(time.RFC3339Nano),
		LoggingDriver:      set.Containers.LogDriver,
		NEventsListener:    s.cfg.Events.Subscribers(),
		IndexServerAddress: indexServer,
		RegistryConfig:     registryConfig(set.Registry),
		DockerRootDir:      set.DataRoot,
		Labels:             append([]string{}, set.Labels...),
		ExperimentalBuild:  set.Serve.Experimental,
		ServerVersion:      version.Number,
		Swarm:              swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive, RemoteManagers: []swarm.Peer{}},
		LiveRestoreEnabled: set.LiveRestore,
		SecurityOptions:    s.cfg.Security.Info(),
		CDISpecDirs:        append([]string{}, set.Containers.CDISpecDirs...),
		GenericResources:   []swarm.GenericResource{},
	}
	s.addCounts(info)
	s.addHost(info)
	s.addRuntimes(info, set)
	addProxies(info, set)
	for _, p := range set.Network.Pools {
		info.DefaultAddressPools = append(info.DefaultAddressPools, system.NetworkAddressPool{Base: p.Base, Size: p.Size})
	}
	info.Driver, info.DriverStatus = s.cfg.Storage.Driver()
	if s.cfg.Firewall != "" {
		info.FirewallBackend = &system.FirewallInfo{Driver: s.cfg.Firewall}
	}
	unread := addDevices(info)
	info.Warnings = append(s.warnings(info, set), unread...)
	return info, nil
}

// addDevices lists what --device can ask for by a qualified name, and returns warnings.
func addDevices(info *system.Info) (warnings []string) {
	devices, warnings := cdi.Devices(info.CDISpecDirs...)
	for _, id := range devices {
		info.DiscoveredDevices = append(info.DiscoveredDevices, system.DeviceInfo{Source: "cdi", ID: id})
	}
	return warnings
}

func (s *Service) plugins() system.PluginsInfo {
	return system.PluginsInfo{
		Log:     s.cfg.Plugins.Log,
		Network: s.cfg.Plugins.Network,
		Volume:  s.cfg.Plugins.Volume,
	}
}

func (s *Service) addCounts(info *system.Info) {
	n := s.cfg.Containers.Count()
	info.Containers, info.ContainersRunning, info.ContainersPaused, info.ContainersStopped = n.Total, n.Running, n.Paused, n.Stopped
}

func (s *Service) addHost(info *system.Info) {
	h := s.cfg.Host
	info.OSType, info.Architecture = runtime.GOOS, h.Architecture
	info.KernelVersion, info.OperatingSystem, info.OSVersion = h.Kernel.Release, h.OS.Name, h.OS.Version
	info.NCPU, info.MemTotal = h.CPUs, h.Memory
	info.Name = h.Hostname
	if name, err := os.Hostname(); err == nil {
		info.Name = name // it may have changed since the start
	}
	info.CgroupVersion = "1"
	if h.Cgroups.Version == 2 {
		info.CgroupVersion = "2"
	}
	info.CgroupDriver = s.cgroupDriver()
	l := h.Limits
	info.MemoryLimit, info.SwapLimit, info.OomKillDisable = l.Memory, l.Swap, l.OomKillDisable
	info.CPUCfsPeriod, info.CPUCfsQuota, info.CPUShares, info.CPUSet = l.CPUCfs, l.CPUCfs, l.CPUShares, l.CPUSet
	info.PidsLimit = l.Pids
	info.IPv4Forwarding = h.IPv4Forwarding()
}

func (s *Service) cgroupDriver() string {
	switch {
	case s.cfg.CgroupDriver != "":
		return s.cfg.CgroupDriver
	case s.settings.Load().Containers.SystemdCgroup:
		return "systemd"
	}
	return "cgroupfs"
}

func (s *Service) addRuntimes(info *system.Info, set *config.Config) {
	all, byDefault := s.cfg.Runtimes.Runtimes()
	info.DefaultRuntime = byDefault
	info.Runtimes = make(map[string]system.RuntimeWithStatus, len(all))
	for name, rt := range all {
		info.Runtimes[name] = system.RuntimeWithStatus{Runtime: system.Runtime{Path: rt.Path, Args: rt.Args}}
	}
	// A runtime that was configured and does not work is shown, too: the warnings say why it does not.
	for name, rt := range set.Runtimes.Known {
		if _, ok := info.Runtimes[name]; !ok {
			info.Runtimes[name] = system.RuntimeWithStatus{Runtime: system.Runtime{Path: rt.Path, Args: rt.Args, Type: rt.Type, Options: rt.Options}}
		}
	}
	info.RuncCommit.ID = all[byDefault].Version
	if byDefault != "runc" {
		info.RuncCommit.ID = byDefault + " " + info.RuncCommit.ID // clients print it as the version of runc
	}
	info.InitBinary, info.InitCommit.ID = s.initBinary(set)
}

// ownInit is the init process of containers that comes with this engine.
const ownInit = "gantry-init"

// initBinary is the init process of containers with its version; that of a foreign one is not known.
func (s *Service) initBinary(set *config.Config) (name, commit string) {
	name = ownInit
	switch {
	case set.Containers.InitPath != "":
		name = set.Containers.InitPath
	case s.cfg.InitBinary != "":
		name = filepath.Base(s.cfg.InitBinary)
	}
	if name != ownInit {
		return name, "N/A" // as dockerd says
	}
	return name, version.Number
}

func addProxies(info *system.Info, set *config.Config) {
	p := set.Effective()
	info.HTTPProxy, info.HTTPSProxy, info.NoProxy = p.HTTP, p.HTTPS, p.No
}

// warnings are what the operator should know, dockerd's words where it has them.
func (s *Service) warnings(info *system.Info, set *config.Config) []string {
	var out []string
	for _, url := range set.Serve.Hosts {
		if address, ok := strings.CutPrefix(url, "tcp://"); ok && !set.Serve.TLS.Verify {
			out = append(out, apiWarning(address, set.Serve.TLS.Enabled))
		}
	}
	out = append(out, s.cfg.Host.Limits.Warnings(s.cfg.Host.Cgroups.Version)...)
	if !info.IPv4Forwarding {
		out = append(out, "WARNING: IPv4 forwarding is disabled")
	}
	add := func(more []string) {
		for _, text := range more {
			out = append(out, "WARNING: "+strings.TrimPrefix(text, "WARNING: "))
		}
	}
	add(s.cfg.Runtimes.Warnings())
	add(s.cfg.Containers.Warnings())
	if s.cfg.Warnings != nil {
		add(s.cfg.Warnings())
	}
	return out
}

func apiWarning(address string, encrypted bool) string {
	if encrypted {
		return "WARNING: API is accessible on https://" + address + " without TLS client verification.\n" + rootWarning
	}
	return "WARNING: API is accessible on http://" + address + " without encryption.\n" + rootWarning
}

const rootWarning = "         Access to the remote API is equivalent to root access on the host."

// openFiles counts this process's descriptors, without the one that counts.
func openFiles() int {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return -1
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names) - 1
}
