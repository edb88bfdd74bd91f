package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"gantry/config"
	"gantry/container"
	"gantry/container/spec"
	"gantry/container/spec/cdi"
	"gantry/host"
	"gantry/logdriver/drivers"
	"gantry/network"
	"gantry/task"

	containertypes "github.com/moby/moby/api/types/container"
)

// initBinary is the init process that --init puts first in a container, looked up as dockerd does it
// and then beside this program; Debian's tini fits.
var initBinary = [...]string{"docker-init", "gantry-init", "tini-static", "tini"}

func findInit(cfg *config.Config) string {
	if cfg.Containers.InitPath != "" {
		return cfg.Containers.InitPath
	}
	self, err := os.Executable()
	if err == nil {
		own := filepath.Join(filepath.Dir(self), "gantry-init")
		if _, err := os.Stat(own); err == nil {
			return own
		}
	}
	for _, name := range initBinary {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// containerSettings are the daemon's part of every container.
func containerSettings(cfg *config.Config, h *host.Host) container.Settings {
	if h == nil {
		return container.Settings{} // an earlier step has failed: nothing is going to use them
	}
	c := cfg.Containers
	mode := containertypes.CgroupnsMode(c.CgroupnsMode)
	if mode == "" {
		mode = containertypes.CgroupnsMode(h.CgroupnsMode())
	}
	return container.Settings{
		Spec: spec.Daemon{
			CgroupParent: c.CgroupParent, SystemdCgroup: c.SystemdCgroup, Cgroup2: h.Cgroups.Version == 2,
			DefaultUlimit: c.Ulimits, InitPath: findInit(cfg), Init: c.Init,
			ShmSize: c.ShmSize, NoNewPrivs: c.NoNewPrivileges,
			HardNofile: h.Ceilings.Nofile, HardNproc: h.Ceilings.Nproc, MinOOMScore: h.Ceilings.MinOOMScore,
			MaskedPaths:     spec.MaskedPaths(os.DirFS("/sys")),
			RecursiveROless: !h.Kernel.AtLeast(5, 12),
			CDI:             cdi.Injector(c.CDISpecDirs...),
		},
		LogDriver: c.LogDriver, LogOptions: c.LogOptions,
		IpcMode: containertypes.IpcMode(c.IpcMode), CgroupnsMode: mode,
		NCPU: h.CPUs, NoBridge: cfg.Network.Bridge == "none", StopAll: cfg.ShutdownTimeout,
	}
}

func taskConfig(cfg *config.Config) task.Config {
	t := task.Config{
		Root: cfg.ExecRoot, DefaultRuntime: cfg.Runtimes.Default, SystemdCgroup: cfg.Containers.SystemdCgroup,
		CatchUp: filepath.Join(cfg.DataRoot, "tmp"), Runtimes: map[string]task.Runtime{},
	}
	if cfg.TmpDir != "" {
		t.CatchUp = cfg.TmpDir
	}
	for name, r := range cfg.Runtimes.Known {
		t.Runtimes[name] = task.Runtime{Path: r.Path, Args: r.Args}
	}
	return t
}

func networkConfig(cfg *config.Config) network.Config {
	n := cfg.Network
	out := network.Config{
		Root: cfg.DataRoot, ExecRoot: cfg.ExecRoot,
		Bridge: n.Bridge, BridgeIP: n.BIP, FixedCIDR: n.FixedCIDR, DefaultGateway: n.Gateway, MTU: n.MTU, HostIP: n.IP,
		DNS: n.DNS, DNSOptions: n.DNSOptions, DNSSearch: n.DNSSearch, HostGatewayIPs: n.HostGatewayIPs,
		IPv6: n.IPv6, BridgeIP6: n.BIP6, FixedCIDR6: n.FixedCIDR6, DefaultGateway6: n.Gateway6, DefaultOptions: n.DefaultOptions,
		NoFirewall: !n.IPTables, NoMasquerade: !n.IPMasq, NoForward: !n.IPForward, NoICC: !n.ICC, NoProxy: !n.UserlandProxy,
	}
	for _, p := range n.Pools {
		out.Pools = append(out.Pools, network.Pool(p))
	}
	return out
}

// firewallName is what info shows; "" where the firewall is the operator's own business.
func firewallName(cfg *config.Config) string {
	if !cfg.Network.IPTables {
		return ""
	}
	return "nftables"
}

// selectable are the log drivers that info lists: those that keep something.
func selectable(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == drivers.None })
}
