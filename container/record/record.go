// Package record is what is known of a container: in memory, and on disk in Docker's
// config.v2.json and hostconfig.json.
package record

import (
	"encoding/json"
	"time"

	"gantry/storage"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Container is all that is known of a container and kept on disk. A published record
// is never changed: readers need no lock, writers publish a changed copy.
type Container struct {
	ID      string
	Name    string // without the leading slash
	Created time.Time

	Path string // what is executed, entrypoint and command joined
	Args []string

	Config     *container.Config     // image defaults merged in
	HostConfig *container.HostConfig // daemon defaults merged in

	ImageID       string // digest of the image; "" for none
	ImageManifest *ocispec.Descriptor
	Platform      ocispec.Platform
	Chain         storage.ChainID
	Driver        string // storage driver

	State
	RestartCount    int
	StartedBefore   bool // it has run at least once
	ManuallyStopped bool // by the user, so that unless-stopped leaves it alone

	Mounts map[string]*MountPoint // by destination
	// Networks is what is wanted while it is stopped, and what is there while it runs.
	Networks map[string]*network.EndpointSettings
	// DesiredMAC is what the user asked for, by network name; Networks has what is used.
	DesiredMAC map[string]network.HardwareAddr
	SandboxID  string
	NetnsPath  string
	Ports      network.PortMap // as bound

	LogPath        string // of json-file; "" for other drivers
	MountLabel     string
	ProcessLabel   string
	AppArmor       string
	SeccompProfile string // "" for the default, "unconfined", or a JSON profile
	NoNewPrivs     bool

	unknown map[string]json.RawMessage // keys of the file that another engine wrote
}

// Status is where a container stands.
type Status string

const (
	Created    Status = "created"
	Starting   Status = "starting" // durable, so that restore knows what to undo; shown as created or exited
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting" // it has exited and its restart policy will start it again
	Exited     Status = "exited"
	Removing   Status = "removing"
	Dead       Status = "dead" // removal failed half way
)

// State is the part of a record that changes while the container lives.
type State struct {
	Status     Status
	Pid        int // of the init process on the host; 0 when it does not run
	Run        uint64
	ExitCode   int
	Error      string // why it could not start, or what is unknown of its end
	OOMKilled  bool
	StartedAt  time.Time
	FinishedAt time.Time
	Health     *container.Health // nil without a health check
}

// Up reports whether processes exist.
func (s *State) Up() bool { return s.Status == Running || s.Status == Paused }

// MountPoint is one mount of a container, as the record keeps it.
type MountPoint struct {
	Type        mount.Type
	Name        string // of a volume
	Source      string // on the host; of a volume only while it is mounted
	Destination string
	Driver      string // of a volume
	RW          bool
	Mode        string // the options as the user wrote them: "ro,z"
	Propagation mount.Propagation
	Anonymous   bool // made for this container, removed with it by rm -v and --rm
	CopyUp      bool // fill the empty volume with what the image has at Destination
	MustExist   bool // a bind whose source is never made for the user
	Spec        mount.Mount
}
