package config

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestBadValuesAreRefused(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"--log-level=foo", "invalid logging level: foo"},
		{"--log-format=foo", "invalid log format: foo"},
		{"--default-ipc-mode=foo", `default IPC mode setting (foo) is invalid; use "shareable" or "private"`},
		{"--default-cgroupns-mode=foo", `default cgroup namespace mode (foo) is invalid; use "host" or "private"`},
		{"--default-shm-size=foo", "invalid size: 'foo'"},
		{"--dns=foo", "foo is not an ip address"},
		{"--dns-search=fo o", "fo o is not a valid domain"},
		{"--label=a", "bad attribute format: a"},
		{"--label==a", "invalid label '=a': empty name"},
		{"--max-concurrent-downloads=-1", "invalid max concurrent downloads: -1"},
		{"--max-concurrent-uploads=-1", "invalid max concurrent uploads: -1"},
		{"--max-download-attempts=-1", "invalid max download attempts: -1"},
		{"--mtu=-1", "invalid default MTU: -1"},
		{"--registry-mirror=ftp://x", `invalid mirror: unsupported scheme "ftp" in "ftp://x"`},
		{"--registry-mirror=http://u:p@x", "username/password not allowed"},
		{"--insecure-registry=ftp://x", "insecure registry ftp://x should not contain '://'"},
		{"--insecure-registry=x:99999", `invalid port "99999"`},
		{"--add-runtime=runc=x", "runtime name 'runc' is reserved"},
		{"--add-runtime=x", "invalid runtime argument: x"},
		{"--default-runtime=foo", "specified default runtime 'foo' does not exist"},
		{"--exec-opt=native.cgroupdriver=bar", "native.cgroupdriver option bar not supported"},
		{"--default-ulimit=foo", "invalid ulimit argument: foo"},
		{"--default-address-pool=foo", "invalid field 'foo' must be a key=value pair"},
		{"--default-address-pool=base=10.0.0.0/8,size=4", "invalid pool size 4"},
		{"--ip=foo", "foo is not an ip address"},
		{"--bip=foo", "invalid CIDR address: foo"},
		{"--host=foo://bar", "invalid bind address format: foo://bar"},
		{"--host=tcp://x:99999", "invalid port"},
		{"--oom-score-adjust=2000", "invalid oom-score-adjust"},
		{"--min-api-version=1.12", "minimum supported API version is 1.24: 1.12"},
		{"--min-api-version=v1.30", `API version must be provided without "v" prefix`},
		{"--metrics-addr=foo", "invalid metrics-addr"},
		{"--firewall-backend=iptables", "gantry has no iptables backend yet"},
		{"--feature=a=b", "invalid boolean value for feature a"},
	} {
		refused(t, c.want, "--config-file=/dev/null", c.arg)
	}
}

func TestBadValuesOfTheFileAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		`{"debug": "a"}`:                       `debug: "a" is neither true nor false`,
		`{"debug": 1}`:                         "debug: 1 is neither true nor false",
		`{"mtu": "a"}`:                         "mtu: \"a\" is not a number",
		`{"mtu": 1.5}`:                         "mtu: ",
		`{"dns": "a"}`:                         "dns: not a list of strings",
		`{"dns": ["a"]}`:                       "configuration validation from file failed: dns: a is not an ip address",
		`{"data-root": 1}`:                     "data-root: not a string",
		`{"default-shm-size": 64}`:             "default-shm-size: not a string",
		`{"log-opts": {"a": 1}}`:               "log-opts: a: 1 is not a string",
		`{"features": []}`:                     "features: not an object",
		`{"runtimes": {"runc": {"path":"x"}}}`: "runtime name 'runc' is reserved",
		`{"runtimes": {"a": {}}}`:              "runtime a: either a runtimeType or a path must be configured",
		`{"runtimes": {"a": {"path": "/a", "runtimeType": "b"}}}`:              "cannot configure both path and runtimeType",
		`{"runtimes": {"a": {"pth": "/a"}}}`:                                   "unknown field",
		`{"default-ulimits": {"a": {"Name": "a", "Soft": 1}}}`:                 "invalid ulimit type: a",
		`{"default-ulimits": {"nofile": {"Soft": 9, "Hard": 1}}}`:              "ulimit soft limit must be less than or equal to hard limit",
		`{"labels": ["a=b", "a=c"]}`:                                           "conflict labels for a=c and a=b",
		`{"graph": "/x"}`:                                                      `use "data-root"`,
		`{"hosts": ["tcp://0.0.0.0:2375"]}`:                                    "refusing to listen on tcp://0.0.0.0:2375 without TLS",
		`{"bridge": "x", "bip": "10.0.0.1/8"}`:                                 "mutually exclusive options",
		`{"icc": false, "iptables": false}`:                                    "you specified --iptables=false with --icc=false",
		`{"exec-opts": ["native.cgroupdriver=systemd"], "cgroup-parent": "x"}`: "should be a valid slice",
		`{"host-gateway-ips": ["10.0.0.1", "10.0.0.2"]}`:                       "only one IPv4 and one IPv6",
		`{"proxies": {"ftp-proxy": "x"}}`:                                      "don't match any configuration option: ftp-proxy",
	} {
		refused(t, want, file(t, content))
	}
}

func TestWhatHasNotLandedIsRefusedByName(t *testing.T) {
	for _, arg := range []string{"--authorization-plugin=x", "--userns-remap=default", "--ipv6", "--fixed-cidr-v6=2001:db8::/64",
		"--swarm-default-advertise-addr=eth0", "--cpu-rt-runtime=1", "--nri-opts=enable=true", "--node-generic-resource=a=b"} {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		refused(t, name+": gantry has no ", "--config-file=/dev/null", arg)
	}
	// Its default is no request for it.
	load(t, "--config-file=/dev/null", "--ipv6=false", "--userns-remap=", "--network-control-plane-mtu=1500")
	load(t, file(t, `{"ipv6": false, "userns-remap": "", "authorization-plugins": []}`))
}

func TestWhatHasNoCounterpartIsAccepted(t *testing.T) {
	c := load(t, file(t, `{"containerd-plugin-namespace": "x", "builder": {"gc": {"enabled": true}}}`),
		"--containerd=/run/c.sock", "--containerd-namespace=y", "--userland-proxy-path=/p")
	if len(c.Notes) != 5 {
		t.Errorf("%d notes: %q", len(c.Notes), c.Notes)
	}
}

func TestHosts(t *testing.T) {
	for raw, want := range map[string]string{
		"unix://":          "unix:///run/gantry/gantry.sock",
		"unix:///a/b":      "unix:///a/b",
		"fd://":            "fd://",
		"fd":               "fd://",
		"fd://3":           "fd://3",
		"tcp://":           "tcp://127.0.0.1:2375",
		"tcp://0.0.0.0":    "tcp://0.0.0.0:2375",
		"tcp://[::1]:80":   "tcp://[::1]:80",
		":8080":            "tcp://127.0.0.1:8080",
		"192.168.0.1:2375": "tcp://192.168.0.1:2375",
	} {
		c, err := Load("gantryd", []string{"--config-file=/dev/null", "-H", raw, "--tls=false"}, noEnv)
		if err != nil || !slices.Equal(c.Serve.Hosts, []string{want}) {
			t.Errorf("%s: %v, want %s", raw, err, want)
		}
	}
	c := load(t, "--config-file=/dev/null", "-H", "tcp://0.0.0.0", "--tlsverify")
	if c.Serve.Hosts[0] != "tcp://0.0.0.0:2376" || !c.Serve.TLS.Enabled {
		t.Errorf("%+v", c.Serve)
	}
}

func TestSocketsOfSystemdAreTheDefault(t *testing.T) {
	env := map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": "1"}
	getenv := func(k string) string { return env[k] }
	c, err := Load("gantryd", []string{"--config-file=/dev/null"}, getenv)
	if err != nil || !slices.Equal(c.Serve.Hosts, []string{"fd://"}) {
		t.Errorf("%v, %v", c, err)
	}
	if c.Getenv("LISTEN_FDS") != "1" {
		t.Error("the environment is lost")
	}
	env["LISTEN_PID"] = "1" // meant for somebody else
	if c, err := Load("gantryd", []string{"--config-file=/dev/null"}, getenv); err != nil || c.Serve.Hosts[0] != "unix:///run/gantry/gantry.sock" {
		t.Errorf("%v, %v", c, err)
	}
}

// Row 15 of the attacks: TCP without TLS is refused unless told twice.
func TestTCPWithoutTLSIsRefusedUnlessToldTwice(t *testing.T) {
	refused(t, "without TLS", "--config-file=/dev/null", "-H", "tcp://127.0.0.1:2375")
	for _, twice := range []string{"--tls=false", "--tlsverify=false"} {
		c, err := Load("gantryd", []string{"--config-file=/dev/null", "-H", "tcp://0.0.0.0:2375", twice}, noEnv)
		if twice == "--tls=false" && (err != nil || c.Serve.TLS.Enabled || len(c.Warnings) != 1) {
			t.Errorf("%s: %v", twice, err)
		}
		// Encrypted, but for everybody: dockerd takes this to mean TLS.
		if twice == "--tlsverify=false" && (err != nil || !c.Serve.TLS.Enabled || len(c.Warnings) != 1) {
			t.Errorf("%s: %v", twice, err)
		}
	}
	if c := load(t, "--config-file=/dev/null", "-H", "tcp://0.0.0.0:2376", "--tlsverify"); len(c.Warnings) != 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(`{"runtimes": {"a": {"path": "/a"}}, "proxies": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseFile(data)
		if err != nil || keys == nil {
			return
		}
		c := Default("gantryd")
		tab := c.table()
		if c.mergeKeys(tab, keys) != nil || c.complete() != nil || c.validate(tab) != nil {
			return
		}
		if c.Describe() == "" || len(c.Attributes()) == 0 {
			t.Fatal("cannot be described")
		}
	})
}
