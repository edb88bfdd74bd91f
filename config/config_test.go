package config

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// file writes a configuration file and returns the flag that names it.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--config-file=" + path
}

func noEnv(string) string { return "" }

func load(t *testing.T, args ...string) *Config {
	t.Helper()
	c, err := Load("gantryd", args, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused checks that the arguments are refused in words that contain want.
func refused(t *testing.T, want string, args ...string) {
	t.Helper()
	_, err := Load("gantryd", args, noEnv)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v: %v\nwant: %s", args, err, want)
	}
}

func TestDefaultsDependOnTheName(t *testing.T) {
	c := load(t, "--config-file=/dev/null")
	if c.DataRoot != "/var/lib/gantry" || c.ExecRoot != "/run/gantry" || !slices.Equal(c.Serve.Hosts, []string{"unix:///run/gantry/gantry.sock"}) {
		t.Errorf("gantryd: %s, %s, %v", c.DataRoot, c.ExecRoot, c.Serve.Hosts)
	}
	d, err := Load("/usr/bin/dockerd", []string{"--config-file=/dev/null"}, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if d.DataRoot != "/var/lib/docker" || d.ExecRoot != "/var/run/docker" || d.Pidfile != "/var/run/docker.pid" ||
		!slices.Equal(d.Serve.Hosts, []string{"unix:///var/run/docker.sock"}) {
		t.Errorf("dockerd: %s, %s, %s, %v", d.DataRoot, d.ExecRoot, d.Pidfile, d.Serve.Hosts)
	}
	if c.File != "" || c.ShutdownTimeout != 15*time.Second || c.Containers.ShmSize != 64<<20 {
		t.Errorf("%q, %v, %d", c.File, c.ShutdownTimeout, c.Containers.ShmSize)
	}
}

func TestDockerSocketIsAdded(t *testing.T) {
	c := load(t, "--config-file=/dev/null", "--docker-socket")
	if want := []string{"unix:///run/gantry/gantry.sock", "unix:///var/run/docker.sock"}; !slices.Equal(c.Serve.Hosts, want) {
		t.Errorf("%v", c.Serve.Hosts)
	}
}

// everything sets each key of the file that this engine acts on.
const everything = `{
	"allow-nondistributable-artifacts": ["r.example.com"], "bip": "10.1.0.1/16", "cdi-spec-dirs": ["/x/cdi"], "cgroup-parent": "mine.slice",
	"data-root": "/x/data", "debug": true, "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
	"default-cgroupns-mode": "host", "default-gateway": "10.1.0.2", "default-ipc-mode": "shareable", "default-runtime": "custom",
	"default-shm-size": "32M", "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1400"}}, "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}}, "dns": ["10.0.0.53"],
	"dns-opts": ["ndots:2"], "dns-search": ["example.com"], "exec-opts": ["native.cgroupdriver=systemd"], "exec-root": "/x/exec",
	"experimental": true, "features": {"a": true, "b": false}, "firewall-backend": "nftables", "fixed-cidr": "10.1.2.0/24", "group": "staff",
	"host-gateway-ips": ["10.0.0.1"], "hosts": ["unix:///x/api.sock"], "icc": false, "init": true, "init-path": "/x/init",
	"insecure-registries": ["10.0.0.0/8", "r.example.com:5000"], "ip": "127.0.0.1", "ip-forward": false, "ip-masq": false,
	"ip6tables": false, "labels": ["a=b"], "live-restore": true, "log-driver": "local",
	"log-format": "json", "log-level": "warn", "log-opts": {"max-size": "10m"}, "max-concurrent-downloads": 7, "max-concurrent-uploads": 8,
	"max-download-attempts": 9, "metrics-addr": "127.0.0.1:9323", "min-api-version": "1.30", "mtu": 1400, "no-new-privileges": true,
	"oom-score-adjust": -100, "pidfile": "/x/pid", "proxies": {"http-proxy": "http://u:p@proxy:1", "https-proxy": "http://proxy:2", "no-proxy": "localhost"},
	"raw-logs": true, "registry-mirrors": ["https://m.example.com"], "runtimes": {"custom": {"path": "/x/rt", "runtimeArgs": ["--debug"]}},
	"seccomp-profile": "unconfined", "selinux-enabled": true, "shutdown-timeout": 30, "storage-driver": "native", "storage-opts": ["a=b"],
	"tls": true, "tlscacert": "/x/ca.pem", "tlscert": "/x/cert.pem", "tlskey": "/x/key.pem", "tlsverify": true, "userland-proxy": false
}`

func TestEveryKeyOfTheFileArrives(t *testing.T) {
	c := load(t, file(t, everything))
	untouched := Default("gantryd").table()
	i, def := 0, []string(nil)
	untouched.all(func(o *option) { def = append(def, o.value.String()) })
	c.table().all(func(o *option) {
		if o.later == "" && o.ignored == "" && !o.cliOnly && o.value.String() == def[i] && o.name != "iptables" && o.name != "bridge" {
			t.Errorf("%s is still %s", o.id(), def[i])
		}
		i++
	})
	for what, ok := range map[string]bool{
		"bip":       c.Network.BIP == netip.MustParsePrefix("10.1.0.1/16"),
		"pools":     reflect.DeepEqual(c.Network.Pools, []Pool{{netip.MustParsePrefix("172.30.0.0/16"), 24}}),
		"shm":       c.Containers.ShmSize == 32<<20,
		"ulimit":    c.Containers.Ulimits["nofile"].Hard == 20,
		"systemd":   c.Containers.SystemdCgroup,
		"runtime":   reflect.DeepEqual(c.Runtimes.Known["custom"], Runtime{Path: "/x/rt", Args: []string{"--debug"}}),
		"timeout":   c.ShutdownTimeout == 30*time.Second,
		"proxy":     c.Proxies == Proxies{"http://u:p@proxy:1", "http://proxy:2", "localhost"},
		"mirror":    slices.Equal(c.Registry.Mirrors, []string{"https://m.example.com/"}),
		"debug":     c.Log.Threshold() == "debug",
		"CDI":       slices.Equal(c.Containers.CDISpecDirs, []string{"/x/cdi"}),
		"group":     c.Serve.GroupSet,
		"TLS":       c.Serve.TLS.Enabled && c.Serve.TLS.Verify && !c.Serve.TLS.Disabled,
		"oom score": c.OOMScoreAdjust == -100,
	} {
		if !ok {
			t.Errorf("%s is wrong", what)
		}
	}
	if text := c.Describe(); strings.Contains(text, "u:p@") || !strings.Contains(text, `"data-root":"/x/data"`) {
		t.Errorf("described as %s", text)
	}
}

func TestFlagsArrive(t *testing.T) {
	c := load(t, "--config-file=/dev/null", "-D", "-s", "overlay2", "--label", "a=b", "--label=c=d", "--label=a=b", "--icc=false", "--default-ulimit", "nofile=5:6",
		"--log-opt", "a=b=c", "--add-runtime", "x=/bin/x", "--default-address-pool", "base=10.0.0.0/8,size=24", "--feature", "a", "--feature", "b=false",
		"--cdi-spec-dir", "/only", "--default-shm-size", "1g", "-H", "unix:///a", "-H", "tcp://:80", "--tls=false", "--host-gateway-ip", "10.0.0.1",
		"--shutdown-timeout", "-1", "--dns", "::1", "--seccomp-profile=unconfined", "--exec-opt", "native.cgroupdriver=cgroupfs")
	for what, ok := range map[string]bool{
		"labels":   slices.Equal(c.Labels, []string{"a=b", "c=d"}),
		"log opt":  c.Containers.LogOptions["a"] == "b=c",
		"runtime":  c.Runtimes.Known["x"].Path == "/bin/x",
		"features": reflect.DeepEqual(c.Features, map[string]bool{"a": true, "b": false}),
		"CDI":      slices.Equal(c.Containers.CDISpecDirs, []string{"/only"}),
		"hosts":    slices.Equal(c.Serve.Hosts, []string{"unix:///a", "tcp://127.0.0.1:80"}),
		"timeout":  c.ShutdownTimeout < 0,
		"icc":      !c.Network.ICC,
		"warned":   len(c.Warnings) == 1,
	} {
		if !ok {
			t.Errorf("%s is wrong: %+v", what, c)
		}
	}
}

func TestConflictsNameBothValues(t *testing.T) {
	f := file(t, `{"debug": false, "labels": ["a=b"], "proxies": {"http-proxy": "http://me:secret@x"}}`)
	refused(t, "the following directives are specified both as a flag and in the configuration file: "+
		"debug: (from flag: true, from file: false), http-proxy: (from flag: http://xxxxx:xxxxx@y, from file: http://xxxxx:xxxxx@x), "+
		"labels: (from flag: [c=d e=f], from file: [a=b])",
		f, "--debug", "--label", "c=d", "--label", "e=f", "--http-proxy", "http://me:secret@y")
	_, err := Load("gantryd", []string{f, "--debug"}, noEnv)
	var fileError *FileError
	if !errors.As(err, &fileError) || !strings.HasPrefix(err.Error(), "unable to configure the Docker daemon with file "+fileError.File+": ") {
		t.Errorf("%v", err)
	}
}

func TestRuntimesOfBothSidesAddUp(t *testing.T) {
	c := load(t, file(t, `{"runtimes": {"a": {"path": "/a"}}}`), "--add-runtime", "b=/b")
	if got := slices.Sorted(maps.Keys(c.Runtimes.Known)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v", got)
	}
}

func TestUnknownKeysAreAnError(t *testing.T) {
	refused(t, "the following directives don't match any configuration option: Debug, x", file(t, `{"x": 1, "Debug": true}`))
}

func TestFilesThatAreNoConfiguration(t *testing.T) {
	for _, content := range []string{"", "  \n", "\ufeff{}", "null"} {
		load(t, file(t, content))
	}
	refused(t, "no such file or directory", "--config-file=/nonexistent/daemon.json")
	refused(t, "(line 3)", file(t, "{\n\"debug\": true,\n}"))
	refused(t, "not a JSON object", file(t, "[]"))
	refused(t, "invalid character", file(t, "{} {}"))
}

func TestEmptyValuesOfTheFileAreDefaults(t *testing.T) {
	c := load(t, file(t, `{"data-root": "", "default-gateway": "", "hosts": [], "mtu": 0, "shutdown-timeout": 0, "default-ulimits": {}, "log-level": ""}`))
	if c.DataRoot != "/var/lib/gantry" || c.ShutdownTimeout != 15*time.Second || c.Log.Level != "info" || len(c.Serve.Hosts) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestUsageErrorsPointAtTheHelp(t *testing.T) {
	for _, args := range [][]string{{"--nope"}, {"argument"}, {"--mtu", "x"}} {
		_, err := Load("gantryd", args, noEnv)
		if !errors.Is(err, ErrUsage) || !strings.HasSuffix(err.Error(), "\nSee 'gantryd --help'.") {
			t.Errorf("%v: %v", args, err)
		}
	}
	refused(t, "unknown flag: --nope", "--nope")
}

func TestEnvironment(t *testing.T) {
	env := map[string]string{"DOCKER_DRIVER": "vfs", "DOCKER_TMPDIR": "/t", "DOCKER_MIN_API_VERSION": "1.40", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
	getenv := func(k string) string { return env[k] }
	c, err := Load("dockerd", []string{"--config-file=/dev/null", "-s", "overlay2"}, getenv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Storage.Driver != "vfs" || c.TmpDir != "/t" || c.Serve.MinAPIVersion != "1.40" || !c.Serve.TLS.Verify || c.Serve.TLS.CA != "/certs/ca.pem" {
		t.Errorf("%+v", c)
	}
	env["DOCKER_MIN_API_VERSION"] = "1.12"
	if _, err := Load("dockerd", nil, getenv); err == nil || !strings.Contains(err.Error(), "invalid DOCKER_MIN_API_VERSION: minimum supported API version is 1.24: 1.12") {
		t.Errorf("%v", err)
	}
}

func TestProxiesReplaceTheEnvironment(t *testing.T) {
	env := map[string]string{"https_proxy": "http://me:secret@old"}
	getenv := func(k string) string { return env[k] }
	c, err := Load("gantryd", []string{"--config-file=/dev/null", "--https-proxy", "http://new", "--no-proxy", "a,b"}, getenv)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Effective(); got != (Proxies{"", "http://new", "a,b"}) {
		t.Errorf("effective: %+v", got)
	}
	overridden, err := c.Proxies.Export(getenv, func(k, v string) error { env[k] = v; return nil })
	if err != nil || len(overridden) != 1 || overridden[0] != (Override{"https_proxy", "http://xxxxx:xxxxx@old", "http://new"}) {
		t.Errorf("%v, %v", overridden, err)
	}
	if env["HTTPS_PROXY"] != "http://new" || env["https_proxy"] != "http://new" || env["NO_PROXY"] != "a,b" {
		t.Errorf("%v", env)
	}
}
