package integration

import (
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/internal/testkit"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

func TestCleanStopEndsContainersAndLeavesNothing(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	name := d.Name("stopped")
	d.Docker("run", "-d", "--name", name, "busybox", "sh", "-c", "trap 'echo asked; exit 4' TERM; echo ready; sleep 1000 & wait")
	awaitLog(d, name, "ready")
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Processes() {
		if !p.Ours {
			t.Errorf("process %d %s has survived", p.Pid, p.Name)
		}
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	c := inspect(d, name)
	equal(t, "status", string(c.State.Status), "exited")
	equal(t, "exit code", c.State.ExitCode, 4)
	equal(t, "log", d.Docker("logs", name), "ready\nasked")
}

func TestAnswersSurviveARestart(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	volume, name := volumeName(d), d.Name("kept")
	d.CLI("run", "--name", name, "-v", volume+":/data", "-l", "a=b", "--hostname", "h", "busybox", "sh", "-c", "echo x >/file; exit 3")
	image := d.Image("kept")
	d.Docker("commit", name, image)
	before := inspect(d, name)
	r, err := d.Client().Info(d.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	after := inspect(d, name)
	a, _ := json.Marshal(before)
	b, _ := json.Marshal(after)
	equal(t, "inspect", string(b), string(a))
	equal(t, "image", d.Docker("run", "--rm", image, "cat", "/file"), "x")
	equal(t, "volume", d.Docker("volume", "ls", "-q"), volume)
	again, err := d.Client().Info(d.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "engine ID", again.Info.ID, r.Info.ID)
}

func TestReloadTakesNewSettings(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Config: `{"labels":["a=b"],"shutdown-timeout":20}`})
	ctx := d.Context()
	labels := func() string {
		r, err := d.Client().Info(ctx, client.InfoOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(r.Info.Labels, ",")
	}
	equal(t, "labels", labels(), "a=b")
	events := d.Client().Events(ctx, client.EventsListOptions{Filters: client.Filters{}.Add("type", "daemon")})
	if err := os.WriteFile(d.Path("daemon.json"), []byte(`{"labels":["c=d"],"live-restore":true,"shutdown-timeout":5,"runtimes":{"other":{"path":"crun"}},"default-runtime":"other"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	all := collect(d, events, "reload")
	contains(t, "attributes", all[0].Actor.Attributes["labels"], "c=d")
	equal(t, "live-restore", all[0].Actor.Attributes["live-restore"], "true")
	equal(t, "labels", labels(), "c=d")
	contains(t, "log", d.Log(), "Reloaded configuration")
	r, err := d.Client().Info(ctx, client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "default runtime", r.Info.DefaultRuntime, "other")
	d.LoadBusybox()
	equal(t, "output", d.Docker("run", "--rm", "busybox", "echo", "here"), "here")
	// A file that is broken changes nothing.
	if err := os.WriteFile(d.Path("daemon.json"), []byte(`{"labels":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.Eventually("a complaint in the log", func() bool { return strings.Contains(d.Log(), "level=error") })
	equal(t, "labels", labels(), "c=d")
}

func TestStacksAreDumped(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	if err := d.Signal(unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	d.Eventually("a dump in the exec root", func() bool {
		names, _ := filepath.Glob(filepath.Join(d.ExecRoot(), "goroutine-stacks-*.log"))
		if len(names) == 0 {
			return false
		}
		data, err := os.ReadFile(names[0])
		return err == nil && strings.Contains(string(data), "goroutine ")
	})
}

func TestDaemonsThatRefuseToStart(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	for _, c := range []struct {
		name, config string
		args         []string
		text         string
	}{
		{"unknown key", `{"nosuch":1}`, nil, "the following directives don't match any configuration option: nosuch"},
		{"conflict", `{"debug":true}`, []string{"--debug=false"}, "the following directives are specified both as a flag and in the configuration file: debug: (from flag: false, from file: true)"},
		{"broken file", `{"debug":`, nil, "unable to configure the Docker daemon with file"},
		{"unknown log driver", `{}`, []string{"--log-driver=nosuch"}, "nosuch"},
		{"unknown flag", `{}`, []string{"--nosuch"}, "unknown flag: --nosuch"},
		{"reserved runtime", `{"runtimes":{"runc":{"path":"x"}}}`, nil, "runtime name 'runc' is reserved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "unknown log driver" {
				gantryOnly(t, d, "check of the default log driver")
			}
			o := testkit.Options{Config: c.config, Args: c.args, Unchecked: true}
			_, err := testkit.New(o)
			if err == nil {
				t.Fatal("it starts")
			}
			contains(t, "log", err.Error(), c.text)
		})
	}
	t.Run("second on the same pidfile", func(t *testing.T) {
		// Process 1 is alive in every PID namespace; each engine has one of its own.
		pidfile := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(pidfile, []byte("1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := testkit.New(testkit.Options{Args: []string{"--pidfile=" + pidfile}, Unchecked: true})
		if err == nil {
			t.Fatal("it starts")
		}
		if !d.Reference() {
			contains(t, "log", err.Error(), "is still running")
		}
	})
	t.Run("second on the same data root", func(t *testing.T) {
		gantryOnly(t, d, "lock of the data root")
		_, err := testkit.New(testkit.Options{Args: []string{"--data-root=" + d.DataRoot()}, Unchecked: true})
		if err == nil {
			t.Fatal("it starts")
		}
		equal(t, "the first one answers", d.CLI("version").Code, 0)
	})
}

func TestDefaultsOfTheDaemonReachContainers(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Args: []string{
		"--default-shm-size=16m", "--default-ulimit=nofile=500:600", "--log-driver=local", "--log-opt=max-size=1m", "--init", "--no-new-privileges",
		"--default-ipc-mode=shareable", "--dns=10.9.8.7", "--dns-search=example.org", "--mtu=1400", "--bip=10.123.0.1/24", "--label=zone=a",
		"--default-cgroupns-mode=private",
	}})
	equal(t, "output", sh(d, nil, "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; ulimit -Sn; ulimit -Hn; grep NoNewPrivs /proc/self/status | cut -f2;"+
		"grep -v '^#' /etc/resolv.conf | grep -v '^$' | sort; cat /sys/class/net/eth0/mtu; ip -4 -o addr show eth0 | grep -c 'inet 10.123.0.'; tr '\\0' ' ' </proc/1/cmdline | cut -c1-17"),
		"16384\n500\n600\n1\nnameserver 10.9.8.7\nsearch example.org\n1400\n1\n/sbin/docker-init")
	name := d.Name("defaults")
	d.Docker("create", "--name", name, "busybox")
	h := inspect(d, name).HostConfig
	equal(t, "log driver", h.LogConfig.Type, "local")
	equal(t, "log option", h.LogConfig.Config["max-size"], "1m")
	equal(t, "ipc", string(h.IpcMode), "shareable")
	equal(t, "shm", h.ShmSize, 16<<20)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Args: []string{"--metrics-addr=127.0.0.1:9323", "--experimental"}})
	up(d)
	conn, err := d.Namespaces().Dial("tcp", "127.0.0.1:9323")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "metrics", string(data), "engine_daemon_engine_info{", "engine_daemon_engine_cpus_cpus", `engine_daemon_container_states_containers{state="running"} 1`,
		`engine_daemon_container_actions_seconds_count{action="start"} `, "engine_daemon_events_total", "engine_daemon_health_checks_total",
		`engine_daemon_network_actions_seconds_count{action="allocate"} 1`, `engine_daemon_image_actions_seconds_count{action="load"} `,
		`gantry_api_request_seconds_count{route="POST /containers/{id}/start"} 1`)
}

func TestBridgeNone(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Args: []string{"--bridge=none"}})
	names := strings.Fields(d.Docker("network", "ls", "--format", "{{.Name}}"))
	equal(t, "there is a bridge", containsWord(names, "bridge"), false)
	equal(t, "interfaces", sh(d, nil, "ls /sys/class/net"), "lo")
}

func TestAddressesOfContainersAreFreeAgain(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Args: []string{"--bip=10.124.0.1/29"}}) // five containers
	prefix := netip.MustParsePrefix("10.124.0.0/29")
	for round := range 2 {
		var names []string
		for range 5 {
			name := up(d)
			names = append(names, name)
			if ip := inspect(d, name).NetworkSettings.Networks["bridge"].IPAddress; !prefix.Contains(ip) {
				t.Errorf("address %v in round %d", ip, round)
			}
		}
		d.Fails(125, []string{"no available IPv4 addresses on this network's address pools"}, "run", "--rm", "busybox", "true")
		d.Docker(append([]string{"rm", "-f"}, names...)...)
	}
}
