package spec_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"gantry/container/record"
	"gantry/container/spec"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the golden files anew")

// nodes is a host with two disks, a FUSE device and a directory of sound devices.
func nodes(path string) ([]specs.LinuxDevice, error) {
	node := func(path, kind string, major, minor int64) specs.LinuxDevice {
		mode := os.FileMode(0o660)
		return specs.LinuxDevice{Path: path, Type: kind, Major: major, Minor: minor, FileMode: &mode}
	}
	switch path {
	case "/dev/sda":
		return []specs.LinuxDevice{node(path, "b", 8, 0)}, nil
	case "/dev/fuse":
		return []specs.LinuxDevice{node(path, "c", 10, 229)}, nil
	case "/dev/snd":
		return []specs.LinuxDevice{node("/dev/snd/timer", "c", 116, 33), node("/dev/snd/by-path/card", "c", 116, 0)}, nil
	case "/dev":
		return []specs.LinuxDevice{node("/dev/null", "c", 1, 3), node("/dev/sda", "b", 8, 0)}, nil
	}
	return nil, os.ErrNotExist
}

func mounts(path string) (string, bool, bool, error) {
	return "/srv", strings.HasPrefix(path, "/srv/shared"), strings.HasPrefix(path, "/srv/slave"), nil
}

// plain is a container that asks for nothing.
func plain() spec.Input {
	return spec.Input{
		Record: &record.Container{
			ID: "0123456789abcdef", Name: "web", Path: "/bin/server", Args: []string{"-v"},
			Config:     &container.Config{Hostname: "0123456789ab"},
			HostConfig: &container.HostConfig{IpcMode: "private", CgroupnsMode: "host", NetworkMode: "bridge"},
		},
		Daemon: spec.Daemon{
			Capabilities: []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"},
			Host:         spec.Host{Devices: nodes, MountOf: mounts},
			InitPath:     "/usr/libexec/gantry/init",
			MinOOMScore:  -1000,
		},
		Home: "/root", Netns: "/run/netns/a",
		Hosts: "/c/hosts", Hostname: "/c/hostname", ResolvConf: "/c/resolv.conf",
	}
}

func ptr[T any](v T) *T { return &v }

var golden = map[string]func(*spec.Input){
	"plain": func(*spec.Input) {},
	"cgroup2": func(in *spec.Input) {
		in.Daemon.Cgroup2, in.Record.HostConfig.CgroupnsMode = true, ""
		in.Record.HostConfig.MemorySwappiness = ptr(int64(10))
		in.Record.HostConfig.OomKillDisable = ptr(true)
	},
	"privileged": func(in *spec.Input) {
		h := in.Record.HostConfig
		h.Privileged = true
		h.Devices = []container.DeviceMapping{{PathOnHost: "/dev/fuse", PathInContainer: "/dev/myfuse", CgroupPermissions: "r"}}
	},
	"readonly": func(in *spec.Input) {
		h := in.Record.HostConfig
		h.ReadonlyRootfs = true
		h.Tmpfs = map[string]string{"/run": "size=64m,exec", "/tmp": ""}
		in.Shm = "/c/shm"
	},
	"hostmodes": func(in *spec.Input) {
		h := in.Record.HostConfig
		h.IpcMode, h.PidMode, h.UTSMode, h.NetworkMode = "host", "host", "host", "host"
		h.Init = ptr(true) // has no effect: pid 1 is the host's
		in.Netns, in.Shm = "", "/dev/shm"
	},
	"joined": func(in *spec.Input) {
		h := in.Record.HostConfig
		h.IpcMode, h.PidMode, h.NetworkMode = "container:x", "container:x", "container:x"
		in.IPC, in.PID, in.Shm = "/proc/7/ns/ipc", "/proc/7/ns/pid", "/c/x/shm"
	},
	"ipcnone": func(in *spec.Input) { in.Record.HostConfig.IpcMode = "none" },
	"process": func(in *spec.Input) {
		c, h := in.Record.Config, in.Record.HostConfig
		c.Tty, c.WorkingDir, c.Domainname = true, "/srv", "example.org"
		c.Env = []string{"PATH=/bin", "A=1", "HOSTNAME", "B"}
		h.Init, h.ConsoleSize, h.Umask, h.OomScoreAdj = ptr(true), [2]uint{24, 80}, ptr(uint32(0o27)), -500
		h.CapAdd, h.CapDrop = []string{"net_admin"}, []string{"CAP_MKNOD"}
		h.Annotations = map[string]string{"org.example": "x"}
		in.Record.NoNewPrivs = true
		in.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 44}}
		in.Home = "/home/u"
		in.Daemon.MinOOMScore = 0
	},
	"limits": func(in *spec.Input) {
		h := in.Record.HostConfig
		h.Memory, h.MemorySwap, h.MemoryReservation, h.MemorySwappiness = 64<<20, 128<<20, 32<<20, ptr(int64(0))
		h.OomKillDisable, h.PidsLimit, h.CPUShares, h.NanoCPUs = ptr(true), ptr(int64(100)), 512, 1_500_000_000
		h.CpusetCpus, h.CpusetMems, h.BlkioWeight = "0-1", "0", 300
		h.BlkioWeightDevice = []*blkiodev.WeightDevice{{Path: "/dev/sda", Weight: 200}}
		h.BlkioDeviceReadBps = []*blkiodev.ThrottleDevice{{Path: "/dev/sda", Rate: 1 << 20}}
		h.BlkioDeviceWriteIOps = []*blkiodev.ThrottleDevice{{Path: "/dev/sda", Rate: 100}}
		h.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 65536, Hard: 1 << 20}, {Name: "memlock", Soft: -1, Hard: -1}}
		in.Daemon.DefaultUlimit = map[string]*units.Ulimit{"nofile": {Name: "nofile", Soft: 1, Hard: 1}, "nproc": {Name: "nproc", Soft: 10, Hard: 20}}
		in.Daemon.HardNofile = 20000
		h.CgroupParent = "../../apps"
	},
	"systemd": func(in *spec.Input) {
		in.Daemon.SystemdCgroup, in.Daemon.CgroupParent = true, "apps.slice"
		h := in.Record.HostConfig
		h.CPUPeriod, h.CPUQuota, h.PidsLimit, h.Memory, h.MemorySwap = 50000, 25000, ptr(int64(0)), 64<<20, -1
	},
	"devices": func(in *spec.Input) {
		h := in.Record.HostConfig
		h.Devices = []container.DeviceMapping{
			{PathOnHost: "/dev/fuse", PathInContainer: "/dev/fuse", CgroupPermissions: "rwm"},
			{PathOnHost: "/dev/snd", PathInContainer: "/dev/sound", CgroupPermissions: "rw"},
		}
		h.DeviceCgroupRules = []string{"c 189:* rmw", "a *:* r"}
	},
	"mounts": func(in *spec.Input) {
		in.Mounts = []spec.Mount{
			{Source: "/v/data", MountPoint: record.MountPoint{Type: mount.TypeVolume, Destination: "/data/deep/er", RW: true}},
			{Source: "/h/ro", MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/data", Propagation: "rprivate"}},
			{Source: "/h/hosts", MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/etc/hosts", RW: true}},
			{Source: "/srv/shared/a", MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/shared", RW: true, Propagation: "rshared"}},
			{Source: "/srv/slave/a", MountPoint: record.MountPoint{
				Type: mount.TypeBind, Destination: "/slave", Propagation: "slave",
				Spec: mount.Mount{BindOptions: &mount.BindOptions{NonRecursive: true, ReadOnlyNonRecursive: true}},
			}},
			{Source: "/i/root", MountPoint: record.MountPoint{Type: mount.TypeImage, Destination: "/image"}},
			{MountPoint: record.MountPoint{Type: mount.TypeTmpfs, Destination: "/scratch", RW: true, Spec: mount.Mount{
				ReadOnly: true, TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1770, Options: [][]string{{"exec"}, {"uid", "5"}}},
			}}},
		}
	},
	"ownDev": func(in *spec.Input) {
		in.Mounts = []spec.Mount{{Source: "/dev", MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/dev", RW: true}}}
	},
	"oldKernel": func(in *spec.Input) {
		in.Daemon.RecursiveROless = true
		in.Mounts = []spec.Mount{{Source: "/h", MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/h"}}}
	},
	"userns": func(in *spec.Input) {
		in.Daemon.UIDMaps = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		in.Daemon.GIDMaps = in.Daemon.UIDMaps
	},
	"unmasked": func(in *spec.Input) {
		in.Record.HostConfig.SecurityOpt = []string{"systempaths=unconfined", "writable-cgroups=true"}
	},
	"ownPaths": func(in *spec.Input) {
		in.Record.HostConfig.MaskedPaths, in.Record.HostConfig.ReadonlyPaths = []string{"/proc/secret"}, []string{}
		in.Record.HostConfig.Sysctls = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "5", "net/ipv4/conf/eth0.1/forwarding": "1"}
	},
	"confined": func(in *spec.Input) {
		in.Record.AppArmor, in.Record.ProcessLabel, in.Record.MountLabel = "docker-default", "p", "m"
		in.Daemon.Seccomp = func(s *specs.Spec) (*specs.LinuxSeccomp, error) {
			return &specs.LinuxSeccomp{DefaultAction: specs.LinuxSeccompAction(s.Process.Capabilities.Bounding[0])}, nil
		}
		in.Daemon.Program = func(f *specs.LinuxSeccomp) string { return "program of " + string(f.DefaultAction) }
		in.Record.HostConfig.Annotations = map[string]string{"a": "b"}
	},
}

func TestBuildMakesTheGoldenSpecifications(t *testing.T) {
	for name, change := range golden {
		t.Run(name, func(t *testing.T) {
			in := plain()
			change(&in)
			built, warnings, err := spec.Build(in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(map[string]any{"spec": built, "warnings": warnings}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("differs from %s; run with -update and look at the difference:\n%s", file, got)
			}
		})
	}
}

func TestBuildLeaksNothing(t *testing.T) {
	for name, change := range golden {
		in := plain()
		change(&in)
		built, _, err := spec.Build(in)
		if err != nil {
			t.Fatal(err)
		}
		if c := built.Process.Capabilities; len(c.Inheritable)+len(c.Ambient) > 0 {
			t.Errorf("%s: capabilities are inherited: %v %v", name, c.Inheritable, c.Ambient)
		}
	}
}

func TestBuildRefusesInDockerdsWords(t *testing.T) {
	for want, change := range map[string]func(*spec.Input){
		`could not select device driver "" with capabilities: [[gpu]]`: func(in *spec.Input) {
			in.Record.HostConfig.DeviceRequests = []container.DeviceRequest{{Count: -1, Capabilities: [][]string{{"gpu"}}}}
		},
		`error gathering device information while adding custom device "/dev/none": file does not exist`: func(in *spec.Input) {
			in.Record.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/none", PathInContainer: "/dev/none", CgroupPermissions: "rwm"}}
		},
		`invalid device cgroup rule format: 'c 1:2'`: func(in *spec.Input) { in.Record.HostConfig.DeviceCgroupRules = []string{"c 1:2"} },
		`sysctl "kernel.panic" is not in a separate kernel namespace`: func(in *spec.Input) {
			in.Record.HostConfig.Sysctls = map[string]string{"kernel.panic": "1"}
		},
		`sysctl "net.ipv4.ip_forward" not allowed in host network namespace`: func(in *spec.Input) {
			in.Netns, in.Record.HostConfig.Sysctls = "", map[string]string{"net.ipv4.ip_forward": "1"}
		},
		`sysctl "kernel.sem" is not allowed in the hosts ipc namespace`: func(in *spec.Input) {
			in.Record.HostConfig.IpcMode, in.Record.HostConfig.Sysctls = "host", map[string]string{"kernel/sem": "1"}
		},
		`sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field`: func(in *spec.Input) {
			in.Record.HostConfig.Sysctls = map[string]string{"kernel.hostname": "x"}
		},
		`invalid sysctl name: "net/../kernel/core_pattern"`: func(in *spec.Input) {
			in.Record.HostConfig.Sysctls = map[string]string{"net/../kernel/core_pattern": "x"}
		},
		`Duplicate mount point: /tmp`: func(in *spec.Input) {
			in.Record.HostConfig.Tmpfs = map[string]string{"/tmp": ""}
			in.Mounts = []spec.Mount{{Source: "/h", MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/tmp"}}}
		},
		`invalid tmpfs option "huge"`: func(in *spec.Input) { in.Record.HostConfig.Tmpfs = map[string]string{"/tmp": "huge=always"} },
		`path /home is mounted on /srv but it is not a shared mount`: func(in *spec.Input) {
			in.Mounts = []spec.Mount{{Source: "/home", MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/h", Propagation: "shared"}}}
		},
		`path /home is mounted on /srv but it is not a shared or slave mount`: func(in *spec.Input) {
			in.Mounts = []spec.Mount{{Source: "/home", MountPoint: record.MountPoint{Type: mount.TypeBind, Destination: "/h", Propagation: "rslave"}}}
		},
		`invalid ulimit name bogus`: func(in *spec.Input) {
			in.Record.HostConfig.Ulimits = []*container.Ulimit{{Name: "bogus", Soft: 1, Hard: 1}}
		},
		`invalid --security-opt 2: "x=y"`: func(in *spec.Input) { in.Record.HostConfig.SecurityOpt = []string{"x=y"} },
		`cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"`: func(in *spec.Input) {
			in.Daemon.SystemdCgroup, in.Record.HostConfig.CgroupParent = true, "/x"
		},
		`kernel does not support CPU real-time scheduler`: func(in *spec.Input) { in.Record.HostConfig.CPURealtimeRuntime = 1 },
		`exec: "docker-init": executable file not found in $PATH`: func(in *spec.Input) {
			in.Daemon.InitPath, in.Record.HostConfig.Init = "", ptr(true)
		},
	} {
		in := plain()
		change(&in)
		_, _, err := spec.Build(in)
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%v is not an invalid argument", err)
		}
	}
}

func TestProcessInheritsWhatAnExecDoesNotSay(t *testing.T) {
	in := plain()
	in.Record.Config.Env, in.Record.Config.WorkingDir, in.Record.Config.Tty = []string{"A=1", "B=1"}, "/srv", true
	in.Record.HostConfig.CapDrop = []string{"all"}
	in.Record.NoNewPrivs = true
	p, err := spec.Process(in, spec.ExecOptions{Args: []string{"true"}, Env: []string{"B=2", "HOME=/x"}, Home: "/h"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=0123456789ab", "A=1", "B=2", "HOME=/x"}
	if !slices.Equal(p.Env, want) {
		t.Errorf("environment is %q", p.Env)
	}
	if p.Cwd != "/srv" || p.Terminal || !p.NoNewPrivileges || len(p.Capabilities.Bounding) != 0 {
		t.Errorf("got %+v", p)
	}
}

func TestProcessPrivilegedHasAllCapabilities(t *testing.T) {
	p, err := spec.Process(plain(), spec.ExecOptions{Args: []string{"true"}, Privileged: true, Dir: "/d", Terminal: true, Size: [2]uint{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Capabilities.Effective) != 4 || p.Cwd != "/d" || p.ConsoleSize.Width != 2 || !slices.Contains(p.Env, "TERM=xterm") {
		t.Errorf("got %+v", p)
	}
}

func TestMaskedPathsHidesThermalCounters(t *testing.T) {
	sys := fstest.MapFS{
		"devices/system/cpu/cpu0/thermal_throttle/x": {}, "devices/system/cpu/cpu11/thermal_throttle/x": {},
		"devices/system/cpu/cpu2/topology/x": {}, "devices/system/cpu/cpufreq/x": {},
	}
	got := spec.MaskedPaths(sys)
	if !slices.Contains(got, "/sys/devices/system/cpu/cpu11/thermal_throttle") || len(got) != len(spec.MaskedPaths(nil))+2 {
		t.Errorf("got %v", got)
	}
}

func TestResourcesOfAnUpdateCanLiftTheSwapLimit(t *testing.T) {
	r, warnings, err := spec.Resources(spec.Daemon{}, &container.Resources{MemorySwap: -1, PidsLimit: ptr(int64(-5))})
	if err != nil || len(warnings) > 0 || *r.Memory.Swap != -1 || *r.Pids.Limit != -1 || r.CPU != nil {
		t.Errorf("got %+v, %v, %v", r, warnings, err)
	}
}

func TestHostFindsTheNodesOfThisMachine(t *testing.T) {
	in := plain()
	in.Daemon.Host = spec.Host{}
	in.Record.HostConfig.Privileged = true
	built, _, err := spec.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	null := slices.IndexFunc(built.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == "/dev/null" })
	if null < 0 || built.Linux.Devices[null].Major != 1 || built.Linux.Devices[null].Minor != 3 {
		t.Errorf("no /dev/null among %v", built.Linux.Devices)
	}
	if slices.ContainsFunc(built.Linux.Devices, func(d specs.LinuxDevice) bool { return strings.HasPrefix(d.Path, "/dev/pts/") }) {
		t.Error("terminals of the host are among the devices")
	}
}
