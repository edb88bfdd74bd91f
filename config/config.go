// Package config is what the operator asks for: dockerd's flags and the keys of daemon.json, merged and checked.
//
// An option is one setting. It has a name on the command line, a key in the file (often the plural of
// the name), or both, and one line in the tables options_*.go: help, man page, shell completion, the merge and the
// reload all read these tables. A group is the options of one concern and a struct of Config.
//
// A new option is a field of Config, its default in Default, and a line in the table of its group. If it can change in a
// running daemon, the line says so, and whoever acts on it takes the new value in its Reload. An option that nothing acts on
// yet says what is missing, and is refused.
//
// The package looks at nothing but its arguments, the environment that it is given and the file. Whether the host can
// do what is asked for is decided where it is done.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/docker/go-units"
)

// Config is the merged configuration. It is not changed after Load: see Reload.
type Config struct {
	Program string // what the daemon was called as: "gantryd" or "dockerd"
	File    string // the configuration file that was read; "" when there is none
	Mode    Mode

	DataRoot    string
	ExecRoot    string
	Pidfile     string
	TmpDir      string // for temporary files, $DOCKER_TMPDIR; "" for "tmp" in the data root
	LiveRestore bool
	// ShutdownTimeout bounds the stop of all containers. Negative is without a bound.
	ShutdownTimeout time.Duration
	OOMScoreAdjust  int
	Labels          []string // KEY=VALUE of the engine
	Features        map[string]bool

	Log        Log
	Serve      Serve
	Storage    Storage
	Containers Containers
	Runtimes   Runtimes
	Network    Network
	Registry   Registry
	Proxies    Proxies
	Later      Later

	// Notes says which settings were accepted and have no effect, one sentence each, for the debug log.
	Notes []string
	// Warnings are for the operator: settings that are dangerous, or about to go.
	Warnings []string

	dockerSocket bool
	args         []string
	env          func(string) string
	set          map[string]bool // names of options that a flag or the file has set
}

// Mode is what the command line asks for besides running.
type Mode struct{ Validate, Version, Help bool }

// Log is how the daemon itself logs.
type Log struct {
	Debug  bool
	Level  string // "debug", "info", "warn", "error", "fatal"; see Threshold
	Format string // "text", or "json"
	Raw    bool   // dockerd's switch for plain timestamps, which are the only ones here
}

// Threshold is the lowest severity that is logged.
func (l Log) Threshold() string {
	if l.Debug {
		return "debug"
	}
	return l.Level
}

// Serve is where the API is, and for whom.
type Serve struct {
	Hosts         []string // unix://, tcp:// or fd:// URLs, complete and in order; never empty
	Group         string   // that owns the Unix sockets; "docker" may be missing on the host if GroupSet is false
	GroupSet      bool
	TLS           TLS
	MinAPIVersion string // "" for the oldest there is
	MetricsAddr   string // host:port; "" for none
	Experimental  bool
}

// TLS is how tcp:// hosts are secured.
type TLS struct {
	Enabled bool // implied by Verify
	Verify  bool // clients must have a certificate of CA
	// Disabled says that TLS was switched off in so many words, so tcp:// without it is meant.
	Disabled      bool
	CA, Cert, Key string // files
}

// Storage is where layers are kept.
type Storage struct {
	Driver  string // "" to choose
	Options []string
}

// Containers are defaults of containers.
type Containers struct {
	LogDriver       string
	LogOptions      map[string]string
	Ulimits         map[string]*units.Ulimit
	ShmSize         int64  // bytes
	IpcMode         string // "private" or "shareable"
	CgroupnsMode    string // "host" or "private"; "" for what the host's cgroup version suggests
	CgroupParent    string
	ExecOptions     []string
	SystemdCgroup   bool // ExecOptions have native.cgroupdriver=systemd
	Init            bool
	InitPath        string
	SeccompProfile  string // "" and "builtin", "unconfined", or a file
	SELinux         bool
	NoNewPrivileges bool
	CDISpecDirs     []string // never empty, unless CDI is off
}

// Runtimes are the OCI runtimes by name.
type Runtimes struct {
	Known   map[string]Runtime
	Default string // "" to choose
}

// Runtime is an OCI runtime: a binary with arguments, or one of containerd's types.
type Runtime struct {
	Path    string         `json:"path,omitempty"`
	Args    []string       `json:"runtimeArgs,omitempty"`
	Type    string         `json:"runtimeType,omitempty"`
	Options map[string]any `json:"options,omitempty"`
}

// Network is the default bridge and what all networks have in common.
type Network struct {
	Bridge         string // "" for docker0, "none" for no default network
	BIP            netip.Prefix
	BIP6           netip.Prefix
	FixedCIDR      netip.Prefix
	FixedCIDR6     netip.Prefix
	Gateway        netip.Addr
	Gateway6       netip.Addr
	IPv6           bool
	MTU            int // 0 for 1500
	ICC            bool
	IP             netip.Addr // where ports are published by default; zero for all addresses
	IPForward      bool
	ForwardNoDrop  bool
	IPMasq         bool
	IPTables       bool // the firewall is managed, by whichever backend
	IP6Tables      bool
	Firewall       string // "nftables" or "iptables"; "" to choose
	DirectRouting  bool
	UserlandProxy  bool
	ProxyPath      string
	Pools          []Pool
	DefaultOptions map[string]map[string]string // by driver
	DNS            []netip.Addr
	DNSOptions     []string
	DNSSearch      []string
	HostGatewayIPs []netip.Addr
	ControlMTU     int
}

// Pool is a range that networks are cut from.
type Pool struct {
	Base netip.Prefix
	Size int // prefix length of each network
}

// Registry is how registries are talked to.
type Registry struct {
	Insecure           []string
	Mirrors            []string
	Nondistributable   []string
	MaxDownloads       int
	MaxUploads         int
	MaxDownloadRetries int
}

// Proxies are for the engine's own requests. Each is empty to leave the environment's in place.
type Proxies struct{ HTTP, HTTPS, No string }

// Later holds settings of parts that gantry does not have yet. They are their defaults, or Load refuses them.
type Later struct {
	AuthorizationPlugins []string
	UsernsRemap          string
	SwarmAdvertiseAddr   string
	GenericResources     []string
	NRI                  map[string]string
	Rootless             bool
	CPURealtimePeriod    int64 // microseconds
	CPURealtimeRuntime   int64
	FwMark               string

	ContainerdAddress          string
	ContainerdNamespace        string
	ContainerdPluginsNamespace string
	Builder                    map[string]any
}

// ErrUsage says that the command line cannot be read. The message ends with a pointer to --help.
var ErrUsage = errors.New("usage")

type usageError struct{ text string }

func (e usageError) Error() string        { return e.text }
func (e usageError) Is(target error) bool { return target == ErrUsage }

// FileError says that the file, or the file and the flags together, cannot be used.
type FileError struct {
	File string
	Err  error
}

func (e *FileError) Error() string {
	return fmt.Sprintf("unable to configure the Docker daemon with file %s: %v", e.File, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// Load merges the arguments, without the program's name, with the file that they or the defaults name, and checks the
// result. program is what the daemon was called as; as "dockerd", the defaults are dockerd's. With Mode.Help
// or Mode.Version nothing but the arguments is looked at. Errors: ErrUsage, *FileError, and what is wrong with a
// value, all in dockerd's words.
func Load(program string, args []string, env func(string) string) (*Config, error) {
	c := Default(program)
	c.args, c.env = args, env
	t := c.table()
	flags, err := t.parse(c.Program, args)
	if err != nil {
		return nil, err
	}
	if c.Mode.Help || c.Mode.Version {
		return c, nil
	}
	if err := c.merge(t, flags); err != nil {
		return nil, err
	}
	if err := c.fromEnvironment(); err != nil {
		return nil, err
	}
	if err := c.complete(); err != nil {
		return nil, c.blame(err)
	}
	if err := c.validate(t); err != nil {
		return nil, c.blame(err)
	}
	return c, nil
}

// Getenv looks into the environment that the configuration was read with: what concerns systemd is removed from the
// process's own, because containers and their runtimes would inherit it.
func (c *Config) Getenv(name string) string { return c.env(name) }

// Set reports whether the option of that name was set, rather than left to its default.
func (c *Config) Set(option string) bool { return c.set[option] }
