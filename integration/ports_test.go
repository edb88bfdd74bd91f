package integration

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gantry/internal/testkit"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// serve is a web server in busybox: one page that says who it is.
func serve(d *testkit.Session, flags ...string) string {
	d.T.Helper()
	name := d.Name("web")
	args := append([]string{"run", "-d", "--name", name}, flags...)
	d.Docker(append(args, "busybox", "sh", "-c", "mkdir /www; echo I am "+name+" >/www/index.html; exec httpd -f -p 80 -h /www")...)
	return name
}

// published is where a port of a container is reached.
func published(d *testkit.Session, name, port string) string {
	d.T.Helper()
	first, _, _ := strings.Cut(d.Docker("port", name, port), "\n")
	return strings.Replace(first, "0.0.0.0:", "127.0.0.1:", 1)
}

// hostAddress gives the engine's network namespace an address that is not loopback, as a LAN card would have.
func hostAddress(d *testkit.Session) string {
	d.T.Helper()
	// A bridge without ports: every kernel that runs containers has it.
	for _, args := range [][]string{
		{"link", "add", "lan0", "type", "bridge"}, {"addr", "add", "192.0.2.1/24", "dev", "lan0"}, {"link", "set", "lan0", "up"},
	} {
		if out, err := d.Namespaces().Run("ip", args...); err != nil {
			d.T.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	return "192.0.2.1"
}

func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	lan := hostAddress(d)
	d.Baseline()
	t.Run("ephemeral", func(t *testing.T) {
		d := d.With(t)
		name := serve(d, "-p", "80")
		address := published(d, name, "80")
		contains(t, "page", httpGet(d, address), "I am "+name)
		_, port, _ := net.SplitHostPort(address)
		contains(t, "page from the LAN side", httpGet(d, net.JoinHostPort(lan, port)), "I am "+name)
	})
	t.Run("chosen", func(t *testing.T) {
		d := d.With(t)
		name := serve(d, "-p", "18080:80")
		contains(t, "page", httpGet(d, "127.0.0.1:18080"), "I am "+name)
		contains(t, "docker port", d.Docker("port", name), "80/tcp -> 0.0.0.0:18080")
		d.Fails(125, []string{"port is already allocated"}, "run", "--rm", "-p", "18080:80", "busybox", "true")
		d.Docker("stop", "-t", "0", name)
		if conn, err := d.Namespaces().Dial("tcp", "127.0.0.1:18080"); err == nil {
			_ = conn.Close()
			t.Error("the port is still open")
		}
		again := serve(d, "-p", "18080:80")
		contains(t, "page", httpGet(d, "127.0.0.1:18080"), "I am "+again)
	})
	t.Run("loopback only", func(t *testing.T) {
		d := d.With(t)
		name := serve(d, "-p", "127.0.0.1:18081:80")
		contains(t, "page", httpGet(d, "127.0.0.1:18081"), "I am "+name)
		if conn, err := d.Namespaces().Dial("tcp", lan+":18081"); err == nil {
			_ = conn.Close()
			t.Error("the port is open on the LAN side")
		}
	})
	t.Run("one address", func(t *testing.T) {
		d := d.With(t)
		name := serve(d, "-p", lan+":18082:80")
		contains(t, "page", httpGet(d, lan+":18082"), "I am "+name)
		if conn, err := d.Namespaces().Dial("tcp", "127.0.0.1:18082"); err == nil {
			_ = conn.Close()
			t.Error("the port is open on loopback")
		}
	})
	t.Run("range", func(t *testing.T) {
		d := d.With(t)
		first := serve(d, "-p", "18090-18091:80")
		second := serve(d, "-p", "18090-18091:80")
		for _, name := range []string{first, second} {
			contains(t, "page", httpGet(d, published(d, name, "80")), "I am "+name)
		}
		d.Fails(125, []string{"port is already allocated"}, "run", "--rm", "-p", "18090-18091:80", "busybox", "true")
	})
	t.Run("between containers", func(t *testing.T) {
		d := d.With(t)
		name := serve(d)
		ip := inspect(d, name).NetworkSettings.Networks["bridge"].IPAddress.String()
		d.Eventually("a page", func() bool {
			return d.CLI("run", "--rm", "busybox", "wget", "-q", "-O-", "http://"+ip).Stdout == "I am "+name+"\n"
		})
	})
	t.Run("the host's address from a container", func(t *testing.T) {
		d := d.With(t)
		name := serve(d, "-p", "18083:80")
		httpGet(d, "127.0.0.1:18083")
		equal(t, "page", d.Docker("run", "--rm", "busybox", "wget", "-q", "-O-", "http://"+lan+":18083"), "I am "+name)
	})
	t.Run("all exposed", func(t *testing.T) {
		d := d.With(t)
		image := d.LoadImage("exposed", func(c *dockerspec.DockerOCIImageConfig) {
			c.ExposedPorts = map[string]struct{}{"80/tcp": {}, "53/udp": {}}
			c.Cmd = []string{"sleep", "1000"}
		})
		name := d.Name("all")
		d.Docker("run", "-d", "-P", "--name", name, image)
		for _, port := range []string{"80/tcp", "53/udp"} {
			contains(t, port, d.Docker("port", name, port), "0.0.0.0:")
		}
	})
}

func TestPublishedUDP(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadEchoServer()
	name := d.Name("udp")
	d.Docker("run", "-d", "--name", name, "-p", "127.0.0.1::5000/udp", "-p", "127.0.0.1::5000/tcp", image)
	answer := func(network string) string {
		conn, err := d.Namespaces().Dial(network, published(d, name, "5000/"+network))
		if err != nil {
			return ""
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := io.WriteString(conn, "ping"); err != nil {
			return ""
		}
		var got []byte
		buf := make([]byte, 100)
		for !strings.HasSuffix(string(got), "ping") {
			n, err := conn.Read(buf)
			if err != nil {
				return ""
			}
			got = append(got, buf[:n]...)
		}
		return string(got)
	}
	for _, network := range []string{"udp", "tcp"} {
		d.Eventually("an answer by "+network, func() bool { return strings.HasSuffix(answer(network), " ping") })
	}
	d.Docker("restart", "-t", "0", name)
	for _, network := range []string{"udp", "tcp"} {
		d.Eventually("an answer by "+network+" after a restart", func() bool { return strings.HasSuffix(answer(network), " ping") })
	}
}

func TestNetworkFlags(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, r := range []row{
		{"none", []string{"--network", "none"}, "ls /sys/class/net; ip -4 -o addr | grep -c inet", "lo\n1"},
		{"host", []string{"--network", "host"}, "test -d /sys/class/net/docker0 && echo bridge", "bridge"},
		{"bridge", nil, "ls /sys/class/net | tr '\\n' ' '; ip route | grep -c '^default via 172'", "eth0 lo 1"},
		{"add host", []string{"--add-host", "db:10.1.2.3", "--add-host", "gw:host-gateway"},
			"grep -c '^10.1.2.3.db$' /etc/hosts; grep -c '^172.*gw$' /etc/hosts", "1\n1"},
		{"dns", []string{"--dns", "10.9.8.7", "--dns-search", "example.org", "--dns-opt", "ndots:2"},
			"grep -v '^#' /etc/resolv.conf | grep -v '^$' | sort", "nameserver 10.9.8.7\noptions ndots:2\nsearch example.org"},
		{"mac address", []string{"--mac-address", "02:42:ac:11:00:99"}, "cat /sys/class/net/eth0/address", "02:42:ac:11:00:99"},
		{"hosts has the own name", []string{"--hostname", "me"}, "grep -c \"$(ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/').me$\" /etc/hosts", "1"},
		{"mtu", nil, "cat /sys/class/net/eth0/mtu", "1500"},
	} {
		t.Run(r.name, func(t *testing.T) {
			if r.name == "mac address" {
				gantryOnly(t, d, "address per endpoint (Docker 25)")
			}
			equal(t, "output", sh(d.With(t), r.flags, r.script), r.want)
		})
	}
	d.Fails(125, []string{"nosuch"}, "run", "--rm", "--network", "nosuch", "busybox", "true")
	neighbour := up(d)
	t.Run("link", func(t *testing.T) {
		d := d.With(t)
		ip := inspect(d, neighbour).NetworkSettings.Networks["bridge"].IPAddress.String()
		contains(t, "hosts", sh(d, []string{"--link", neighbour + ":db"}, "cat /etc/hosts"), ip+"\tdb ")
		d.Fails(125, []string{"could not get container for nosuch"}, "run", "--rm", "--link", "nosuch:db", "busybox", "true")
	})
	t.Run("no other interface in a container of none", func(t *testing.T) {
		equal(t, "routes", sh(d.With(t), []string{"--network", "none"}, "ip route | wc -l"), "0")
	})
}

func TestNetworksAreListed(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	names := strings.Fields(d.Docker("network", "ls", "--format", "{{.Name}}/{{.Driver}}/{{.Scope}}"))
	for _, want := range []string{"bridge/bridge/local", "host/host/local", "none/null/local"} {
		equal(t, want, containsWord(names, want), true)
	}
	contains(t, "inspect", d.Docker("network", "inspect", "bridge"), name, `"com.docker.network.bridge.name": "docker0"`, "172.17.0.0/16")
}
