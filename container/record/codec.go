package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gantry/storage"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The names of the two files of a container, in containers/<id>/.
const (
	ConfigFile     = "config.v2.json"
	HostConfigFile = "hostconfig.json"
)

// onDisk is Docker's config.v2.json, as dockerd 20.10 to 29 write it. What
// gantry adds is in one key of its own that dockerd ignores, and what it does not know of the
// file is kept.
type onDisk struct {
	StreamConfig struct{}
	State        stateOnDisk
	ID           string
	Created      time.Time
	Managed      bool
	Path         string
	Args         []string
	Config       *container.Config
	Image        string
	// ImageManifest and ImagePlatform came with dockerd 27; OS is what older ones wrote.
	ImageManifest *ocispec.Descriptor `json:",omitempty"`
	ImagePlatform *ocispec.Platform   `json:",omitempty"`
	OS            string

	NetworkSettings        networkOnDisk
	LogPath                string
	Name                   string
	Driver                 string
	MountLabel             string
	ProcessLabel           string
	RestartCount           int
	HasBeenStartedBefore   bool
	HasBeenManuallyStopped bool
	MountPoints            map[string]*mountOnDisk
	AppArmorProfile        string
	HostnamePath           string
	HostsPath              string
	ShmPath                string
	ResolvConfPath         string
	SeccompProfile         string
	NoNewPrivileges        bool

	Gantry *extension `json:",omitempty"`
}

// extension is what a record has beyond Docker's.
type extension struct {
	Status Status
	Run    uint64 `json:",omitempty"`
	Chain  storage.ChainID
}

type stateOnDisk struct {
	Running           bool
	Paused            bool
	Restarting        bool
	OOMKilled         bool
	RemovalInProgress bool
	Dead              bool
	Pid               int
	ExitCode          int
	Error             string
	StartedAt         time.Time
	FinishedAt        time.Time
	Health            *container.Health
}

type networkOnDisk struct {
	SandboxID  string
	SandboxKey string
	Networks   map[string]*endpointOnDisk
	Ports      network.PortMap
}

type endpointOnDisk struct {
	*network.EndpointSettings
	IPAMOperational   bool
	DesiredMacAddress network.HardwareAddr `json:",omitempty"`
}

type mountOnDisk struct {
	Source                 string
	Destination            string
	RW                     bool
	Name                   string
	Driver                 string
	Type                   mount.Type        `json:",omitempty"`
	Relabel                string            `json:",omitempty"`
	Propagation            mount.Propagation `json:",omitempty"`
	ID                     string            `json:",omitempty"`
	Spec                   mount.Mount
	SkipMountpointCreation bool
}

// Encode returns the contents of config.v2.json. dir is the container's directory.
func Encode(c *Container, dir string) ([]byte, error) {
	d := onDisk{
		State: stateOnDisk{
			Running: c.Up() || c.Status == Restarting, Paused: c.Status == Paused, Restarting: c.Status == Restarting,
			RemovalInProgress: c.Status == Removing, Dead: c.Status == Dead, OOMKilled: c.OOMKilled,
			Pid: c.Pid, ExitCode: c.ExitCode, Error: c.Error,
			StartedAt: c.StartedAt, FinishedAt: c.FinishedAt, Health: c.Health,
		},
		ID: c.ID, Created: c.Created, Path: c.Path, Args: c.Args, Config: c.Config,
		Image: c.ImageID, ImageManifest: c.ImageManifest, ImagePlatform: &c.Platform, OS: c.Platform.OS,
		NetworkSettings: networkOnDisk{SandboxID: c.SandboxID, SandboxKey: c.NetnsPath, Ports: c.Ports, Networks: endpointsToDisk(c)},
		LogPath:         c.LogPath, Name: "/" + c.Name, Driver: c.Driver,
		MountLabel: c.MountLabel, ProcessLabel: c.ProcessLabel,
		RestartCount: c.RestartCount, HasBeenStartedBefore: c.StartedBefore, HasBeenManuallyStopped: c.ManuallyStopped,
		MountPoints:     mountsToDisk(c.Mounts),
		AppArmorProfile: c.AppArmor, SeccompProfile: c.SeccompProfile, NoNewPrivileges: c.NoNewPrivs,
		HostnamePath: dir + "/hostname", HostsPath: dir + "/hosts", ResolvConfPath: dir + "/resolv.conf",
		Gantry: &extension{Status: c.Status, Run: c.Run, Chain: c.Chain},
	}
	ours, err := json.Marshal(&d)
	if err != nil || len(c.unknown) == 0 {
		return ours, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(ours, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, c.unknown)
	return json.Marshal(all)
}

// EncodeHostConfig returns the contents of hostconfig.json.
func EncodeHostConfig(c *Container) ([]byte, error) { return json.Marshal(c.HostConfig) }

// Decode reads both files. Errors: malformed JSON, a record without its ID or configuration.
func Decode(config, hostConfig []byte) (*Container, error) {
	var d onDisk
	if err := json.Unmarshal(config, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	host := &container.HostConfig{}
	if err := json.Unmarshal(hostConfig, host); err != nil {
		return nil, fmt.Errorf("%s: %w", HostConfigFile, err)
	}
	if d.ID == "" || d.Config == nil {
		return nil, fmt.Errorf("%s: no ID or no Config in it", ConfigFile)
	}
	c := &Container{
		ID: d.ID, Name: strings.TrimPrefix(d.Name, "/"), Created: d.Created, Path: d.Path, Args: d.Args,
		Config: d.Config, HostConfig: host, ImageID: d.Image, ImageManifest: d.ImageManifest,
		Platform: ocispec.Platform{OS: d.OS}, Driver: d.Driver,
		State:        stateFromDisk(d),
		RestartCount: d.RestartCount, StartedBefore: d.HasBeenStartedBefore, ManuallyStopped: d.HasBeenManuallyStopped,
		Mounts: mountsFromDisk(d.MountPoints), Networks: endpointsFromDisk(d.NetworkSettings.Networks),
		SandboxID: d.NetworkSettings.SandboxID, NetnsPath: d.NetworkSettings.SandboxKey, Ports: d.NetworkSettings.Ports,
		LogPath: d.LogPath, MountLabel: d.MountLabel, ProcessLabel: d.ProcessLabel,
		AppArmor: d.AppArmorProfile, SeccompProfile: d.SeccompProfile, NoNewPrivs: d.NoNewPrivileges,
	}
	if d.ImagePlatform != nil {
		c.Platform = *d.ImagePlatform
	}
	if d.Gantry != nil {
		c.Run, c.Chain = d.Gantry.Run, d.Gantry.Chain
	}
	var err error
	c.DesiredMAC = map[string]network.HardwareAddr{}
	for name, e := range d.NetworkSettings.Networks {
		if e != nil && len(e.DesiredMacAddress) > 0 {
			c.DesiredMAC[name] = e.DesiredMacAddress
		}
	}
	c.unknown, err = unknownKeys(config)
	return c, err
}

// stateFromDisk prefers the status that gantry wrote, if it is one that dockerd's booleans,
// which it may have changed since, do not contradict.
func stateFromDisk(d onDisk) State {
	s := State{
		Pid: d.State.Pid, ExitCode: d.State.ExitCode, Error: d.State.Error, OOMKilled: d.State.OOMKilled,
		StartedAt: d.State.StartedAt, FinishedAt: d.State.FinishedAt, Health: d.State.Health,
	}
	switch {
	case d.State.Dead:
		s.Status = Dead
	case d.State.RemovalInProgress:
		s.Status = Removing
	case d.State.Restarting:
		s.Status = Restarting
	case d.State.Paused:
		s.Status = Paused
	case d.State.Running:
		s.Status = Running
	case d.Gantry != nil && d.Gantry.Status == Starting:
		s.Status = Starting
	case d.State.StartedAt.IsZero():
		s.Status = Created
	default:
		s.Status = Exited
	}
	return s
}

func endpointsToDisk(c *Container) map[string]*endpointOnDisk {
	out := map[string]*endpointOnDisk{}
	for name, e := range c.Networks {
		out[name] = &endpointOnDisk{EndpointSettings: e, DesiredMacAddress: c.DesiredMAC[name]}
	}
	return out
}

func endpointsFromDisk(in map[string]*endpointOnDisk) map[string]*network.EndpointSettings {
	out := map[string]*network.EndpointSettings{}
	for name, e := range in {
		out[name] = &network.EndpointSettings{}
		if e != nil && e.EndpointSettings != nil {
			out[name] = e.EndpointSettings
		}
	}
	return out
}

func mountsToDisk(in map[string]*MountPoint) map[string]*mountOnDisk {
	out := map[string]*mountOnDisk{}
	for dest, m := range in {
		out[dest] = &mountOnDisk{
			Source: m.Source, Destination: m.Destination, RW: m.RW, Name: m.Name, Driver: m.Driver, Type: m.Type,
			Relabel: m.Mode, Propagation: m.Propagation, Spec: m.Spec,
			SkipMountpointCreation: m.MustExist,
		}
	}
	return out
}

func mountsFromDisk(in map[string]*mountOnDisk) map[string]*MountPoint {
	out := map[string]*MountPoint{}
	for dest, m := range in {
		if m == nil {
			continue
		}
		out[dest] = &MountPoint{
			Source: m.Source, Destination: m.Destination, RW: m.RW, Name: m.Name, Driver: m.Driver, Type: m.Type,
			Mode: m.Relabel, Propagation: m.Propagation, Spec: m.Spec, MustExist: m.SkipMountpointCreation,
		}
		if m.Name != "" {
			// As dockerd: a volume that nobody named has no source in its specification.
			out[dest].Anonymous = m.Spec.Source == ""
			noCopy := m.Spec.VolumeOptions != nil && m.Spec.VolumeOptions.NoCopy
			out[dest].CopyUp = !noCopy && !slices.Contains(strings.Split(m.Relabel, ","), "nocopy")
		}
		if m.Type == "" && m.Name != "" {
			out[dest].Type = mount.TypeVolume
		} else if m.Type == "" {
			out[dest].Type = mount.TypeBind
		}
	}
	return out
}

// unknownKeys returns the top-level keys that this codec does not know, so that
// another engine's additions survive a rewrite.
func unknownKeys(config []byte) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, err
	}
	known, err := json.Marshal(&onDisk{ImageManifest: &ocispec.Descriptor{}, ImagePlatform: &ocispec.Platform{}, Gantry: &extension{}})
	if err != nil {
		return nil, err
	}
	ours := map[string]json.RawMessage{}
	if err := json.NewDecoder(bytes.NewReader(known)).Decode(&ours); err != nil {
		return nil, err
	}
	maps.DeleteFunc(all, func(k string, _ json.RawMessage) bool { _, ok := ours[k]; return ok })
	return all, nil
}
