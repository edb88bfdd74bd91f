package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry/internal/testkit"

	"github.com/moby/moby/api/types/network"
)

// makeNetwork makes a network by the CLI, which is removed when the test ends, and returns its name.
func makeNetwork(d *testkit.Session, flags ...string) string {
	d.T.Helper()
	name := d.Name("net")
	d.T.Cleanup(func() {
		if r := d.CLI("network", "rm", name); r.Code != 0 && !strings.Contains(r.Stderr, "not found") && !strings.Contains(r.Stderr, "No such network") {
			d.T.Errorf("remove network %s: %s", name, r.Stderr)
		}
	})
	d.Docker(append(append([]string{"network", "create"}, flags...), name)...)
	return name
}

// inspectNetwork returns what the CLI says of a network.
func inspectNetwork(d *testkit.Session, name string) network.Inspect {
	d.T.Helper()
	var all []network.Inspect
	if err := json.Unmarshal([]byte(d.Docker("network", "inspect", "-v", name)), &all); err != nil || len(all) != 1 {
		d.T.Fatalf("inspect %s: %v", name, err)
	}
	return all[0]
}

// address is a container's IPv4 address in a network.
func address(d *testkit.Session, container, net string) string {
	d.T.Helper()
	e := inspect(d, container).NetworkSettings.Networks[net]
	if e == nil {
		d.T.Fatalf("%s is not in %s", container, net)
	}
	return e.IPAddress.String()
}

// pings reports whether one container reaches an address.
func pings(d *testkit.Session, from, to string) bool {
	return d.CLI("exec", from, "ping", "-c", "1", "-W", "1", to).Code == 0
}

func TestUsersNetwork(t *testing.T) {
	t.Parallel()
	d := engine(t)
	net := makeNetwork(d)
	one, two := up(d, "--network", net), up(d, "--network", net)
	if !pings(d, one, address(d, two, net)) || !pings(d, two, address(d, one, net)) {
		t.Error("containers of one network do not reach each other")
	}
	other := up(d, "--network", makeNetwork(d))
	if pings(d, other, address(d, one, net)) {
		t.Error("containers of different networks reach each other")
	}
	found := inspectNetwork(d, net)
	equal(t, "containers", len(found.Containers), 2)
	equal(t, "driver", found.Driver, "bridge")
	equal(t, "bridge", sh(d, []string{"--network", "host"}, "ls /sys/class/net | grep -c br-"+found.ID[:12]), "1")
	d.Fails(1, []string{"has active endpoints", one}, "network", "rm", net)
	d.Docker("rm", "-f", one, two)
	d.Docker("network", "rm", net)
	d.Fails(1, []string{"network " + net + " not found"}, "network", "inspect", net)
}

func TestConnectAndDisconnect(t *testing.T) {
	t.Parallel()
	d := engine(t)
	first, second := makeNetwork(d), makeNetwork(d, "--subnet", "10.231.0.0/24")
	peer := up(d, "--network", second)
	name := up(d, "--network", first)
	if pings(d, name, address(d, peer, second)) {
		t.Error("reached before it was connected")
	}
	d.Docker("network", "connect", "--ip", "10.231.0.77", "--alias", "db", second, name)
	equal(t, "address", address(d, name, second), "10.231.0.77")
	if !pings(d, name, address(d, peer, second)) || !pings(d, peer, "10.231.0.77") {
		t.Error("not reached after it was connected")
	}
	contains(t, "interfaces", d.Docker("exec", name, "ls", "/sys/class/net"), "eth0", "eth1")
	d.Fails(1, []string{"endpoint with name " + name + " already exists in network " + second}, "network", "connect", second, name)
	d.Docker("network", "disconnect", second, name)
	if pings(d, peer, "10.231.0.77") {
		t.Error("reached after it was disconnected")
	}
	d.Fails(1, []string{"is not connected to the network " + second}, "network", "disconnect", second, name)
	d.Docker("stop", "-t", "0", name)
	d.Docker("network", "connect", second, name)
	d.Docker("start", name)
	if !pings(d, name, address(d, peer, second)) || len(inspect(d, name).NetworkSettings.Networks) != 2 {
		t.Error("not in both networks after it was started")
	}
	d.Docker("network", "disconnect", first, name)
	d.Docker("restart", "-t", "0", name)
	if n := inspect(d, name).NetworkSettings.Networks; len(n) != 1 || n[second] == nil {
		t.Errorf("the network that it has left is back: %v", n)
	}
}

func TestNetworksSurviveTheDaemon(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	first, second := makeNetwork(d, "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400"), makeNetwork(d)
	name := up(d, "--network", first)
	d.Docker("network", "connect", second, name)
	peer := up(d, "--network", second)
	before := d.Docker("network", "inspect", first, second)
	networks := d.Docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", name)
	if err := d.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	equal(t, "networks", d.Docker("network", "inspect", first, second), before)
	equal(t, "endpoints", d.Docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", name), networks)
	if !pings(d, name, address(d, peer, second)) {
		t.Error("not reached after the daemon was killed")
	}
	other := up(d, "--network", second)
	if a := address(d, other, second); a == address(d, name, second) || a == address(d, peer, second) {
		t.Errorf("the address %s was handed out twice", a)
	}
	d.Docker("network", "disconnect", second, name)
	if pings(d, peer, "eth1") || len(inspect(d, name).NetworkSettings.Networks) != 1 {
		t.Error("not disconnected")
	}
	d.Docker("rm", "-f", name, peer, other)
	d.Docker("network", "rm", first, second)
	d.Eventually("no bridge of a network", func() bool {
		return sh(d, []string{"--network", "host"}, "ls /sys/class/net | grep -c br- || true") == "0"
	})
}

func TestNetworkPrune(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	used, labelled, idle := makeNetwork(d), makeNetwork(d, "--label", "keep"), makeNetwork(d)
	name := up(d, "--network", used)
	out := d.Docker("network", "prune", "-f", "--filter", "label!=keep")
	contains(t, "pruned", out, idle)
	for _, kept := range []string{used, labelled} {
		if strings.Contains(out, kept) {
			t.Errorf("%s was pruned", kept)
		}
	}
	equal(t, "dangling", d.Docker("network", "ls", "-q", "--filter", "dangling=true", "--format", "{{.Name}}"), labelled)
	equal(t, "custom", len(strings.Fields(d.Docker("network", "ls", "-q", "--filter", "type=custom"))), 2)
	contains(t, "pruned", d.Docker("network", "prune", "-f", "--filter", "until="+time.Now().Add(time.Hour).Format(time.RFC3339)), labelled)
	d.Docker("rm", "-f", name)
}

func TestLegacyLinks(t *testing.T) {
	t.Parallel()
	d := engine(t)
	db := up(d, "--expose", "5432", "--hostname", "pg", "-e", "SECRET=no", "-e", "HOME=/x")
	ip := address(d, db, "bridge")
	name := up(d, "--link", db+":data-base")
	contains(t, "hosts", d.Docker("exec", name, "cat", "/etc/hosts"), ip+"\tdata-base pg "+db)
	env := d.Docker("exec", name, "env")
	contains(t, "environment", env, "DATA_BASE_PORT=tcp://"+ip+":5432\n", "DATA_BASE_PORT_5432_TCP=tcp://"+ip+":5432\n", "DATA_BASE_PORT_5432_TCP_ADDR="+ip+"\n",
		"DATA_BASE_PORT_5432_TCP_PORT=5432\n", "DATA_BASE_PORT_5432_TCP_PROTO=tcp\n", "DATA_BASE_NAME=/"+name+"/data-base\n", "DATA_BASE_ENV_SECRET=no")
	if containsText(env, "_ENV_HOME") {
		t.Error("HOME came along")
	}
	equal(t, "link", d.Docker("inspect", "-f", "{{join .HostConfig.Links \" \"}}", name), "/"+db+":/"+name+"/data-base")
	if !pings(d, name, "data-base") {
		t.Error("not reached by the alias")
	}
	other := up(d) // takes the next address, so that a restart changes that of the first
	d.Docker("stop", "-t", "0", db)
	third := up(d)
	d.Docker("start", db)
	if now := address(d, db, "bridge"); now == ip {
		t.Logf("the address is %s again", now)
	} else {
		contains(t, "hosts after a restart", d.Docker("exec", name, "cat", "/etc/hosts"), now+"\tdata-base pg "+db)
	}
	d.Docker("stop", "-t", "0", db)
	d.Docker("stop", "-t", "0", name)
	d.Fails(1, []string{"Cannot link to a non running container: /" + db + " AS /" + name + "/data-base"}, "start", name)
	d.Docker("rm", "--link", "/"+name+"/data-base")
	d.Docker("start", name)
	d.Docker("rm", "-f", other, third)
	net := makeNetwork(d)
	d.Docker("start", db)
	d.Fails(125, []string{"conflicting options: host type networking can't be used with links"}, "run", "--rm", "--network", "host", "--link", db, "busybox", "true")
	d.Fails(125, []string{"could not get container for nosuch"}, "run", "--rm", "--link", "nosuch", "busybox", "true")
	d.Docker("network", "connect", net, db)
	d.Docker("network", "disconnect", net, db)
}

func TestEndpointOptions(t *testing.T) {
	t.Parallel()
	d := engine(t)
	web := makeNetwork(d, "--subnet", "10.232.0.0/24", "--gateway", "10.232.0.9", "--aux-address", "printer=10.232.0.2", "--ipv6", "--subnet", "fd23:2::/64",
		"-o", "com.docker.network.driver.mtu=1300", "-o", "com.docker.network.container_iface_prefix=lan")
	back, plain := makeNetwork(d, "--internal"), makeNetwork(d)
	for _, r := range []row{
		{"address", []string{"--network", web, "--ip", "10.232.0.50", "--ip6", "fd23:2::50"}, "ip -o addr show lan0 | grep -c '10.232.0.50/24\\|fd23:2::50/64'", "2"},
		{"gateway", []string{"--network", web}, "ip route | grep default", "default via 10.232.0.9 dev lan0 "},
		{"gateway of IPv6", []string{"--network", web}, "ip -6 route | grep -c 'default via fd23:2::1 dev lan0'", "1"},
		{"aux address is left alone", []string{"--network", web}, "ip -o -4 addr show lan0 | grep -c '10.232.0.2/' || true", "0"},
		{"mtu", []string{"--network", web}, "cat /sys/class/net/lan0/mtu", "1300"},
		{"mac", []string{"--network", web, "--mac-address", "02:aa:00:00:00:07"}, "cat /sys/class/net/lan0/address", "02:aa:00:00:00:07"},
		{"internal", []string{"--network", back}, "ip route | grep -c default || true", "0"},
		{"link local", []string{"--network", web, "--link-local-ip", "169.254.7.7"}, "ip -o addr show lan0 | grep -c 169.254.7.7/16", "1"},
		{"sysctls", []string{"--network", "name=" + web + ",\"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1\""},
			"cat /proc/sys/net/ipv4/conf/lan0/log_martians", "1"},
		{"interface name", []string{"--network", "name=" + web + ",driver-opt=com.docker.network.endpoint.ifname=uplink"}, "ls /sys/class/net | tr '\\n' ' '", "lo uplink "},
		{"several", []string{"--network", web, "--network", back}, "ls /sys/class/net | tr '\\n' ' '; ip route | grep -c default", "eth0 lan0 lo 1"},
		{"priority", []string{"--network", web, "--network", "name=" + plain + ",gw-priority=1"}, "ip route | grep default | grep -c 'dev eth0'", "1"},
	} {
		t.Run(r.name, func(t *testing.T) {
			equal(t, "output", strings.TrimSpace(sh(d.With(t), r.flags, r.script)), strings.TrimSpace(r.want))
		})
	}
	d.Fails(125, []string{"no configured subnet or ip-range contain the IP address 10.9.9.9"}, "run", "--rm", "--network", web, "--ip", "10.9.9.9", "busybox", "true")
	d.Fails(125, []string{"user specified IP address is supported on user defined networks only"}, "run", "--rm", "--ip", "172.17.0.99", "busybox", "true")
	d.Fails(125, []string{"user specified IP address is supported only when connecting to networks with user configured subnets"}, "run", "--rm", "--network", back, "--ip", "172.18.0.99", "busybox", "true")
	d.Fails(1, []string{"network with name " + web + " already exists"}, "network", "create", web)
	d.Fails(1, []string{"Pool overlaps with other one on this address space"}, "network", "create", "--subnet", "10.232.0.0/16", "overlapping")
	d.Fails(1, []string{`plugin "nosuch" not found`}, "network", "create", "-d", "nosuch", "driverless")
	d.Fails(1, []string{"container sharing network namespace"}, "network", "connect", web, up(d, "--network", "host"))
}

func TestMacvlan(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	lan := hostAddress(d) // on a bridge, which is a parent as good as any
	d.Baseline()
	net := makeNetwork(d, "-d", "macvlan", "-o", "parent=lan0", "--subnet", "192.0.2.0/24", "--gateway", lan)
	one, two := up(d, "--network", net), up(d, "--network", net)
	if !pings(d, one, address(d, two, net)) {
		t.Error("containers do not reach each other")
	}
	contains(t, "routes", d.Docker("exec", one, "ip", "route"), "default via 192.0.2.1 dev eth0")
	bridge := up(d)
	d.Docker("network", "connect", net, bridge)
	if !pings(d, bridge, address(d, two, net)) {
		t.Error("not reached after it was connected")
	}
	d.Docker("network", "disconnect", net, bridge)
	equal(t, "interfaces", strings.Join(strings.Fields(d.Docker("exec", bridge, "ls", "/sys/class/net")), " "), "eth0 lo")
	alone := makeNetwork(d, "-d", "macvlan", "--internal")
	three, four := up(d, "--network", alone), up(d, "--network", alone)
	if !pings(d, three, address(d, four, alone)) {
		t.Error("containers of an internal network do not reach each other")
	}
	d.Docker("rm", "-f", one, two, three, four, bridge)
	d.Docker("network", "rm", net, alone)
}

func TestDefaultNetworkOptions(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Args: []string{"--default-network-opt=bridge=com.docker.network.driver.mtu=1234", "--default-address-pool=base=10.233.0.0/16,size=24"}})
	net := makeNetwork(d)
	equal(t, "mtu and subnet", sh(d, []string{"--network", net}, "cat /sys/class/net/eth0/mtu; ip -o -4 addr show eth0 | grep -o '10.233.*/24'"), "1234\n10.233.1.2/24")
}

// A crash in the middle of a change of a running container's networks leaves it in the network or out of it, and no address in two hands.
func TestCrashWhileConnecting(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	gantryOnly(t, d, "crash points")
	net := makeNetwork(d, "--subnet", "10.234.0.0/24")
	name, peer := up(d), up(d, "--network", net)
	for _, c := range []struct {
		point, command string
	}{
		{"container.connect.recorded", "connect"}, {"network.attach.interface", "connect"}, {"container.connect.attached", "connect"},
		{"container.disconnect.recorded", "disconnect"}, {"network.detach.interface", "disconnect"}, {"container.disconnect.detached", "disconnect"},
	} {
		t.Run(c.point, func(t *testing.T) {
			d := d.With(t)
			if c.command == "disconnect" {
				d.Docker("network", "connect", net, name)
			}
			if err := d.Kill9(); err != nil {
				t.Fatal(err)
			}
			if err := d.Launch("GANTRY_FAULT=" + c.point); err != nil {
				t.Fatal(err)
			}
			if r := d.CLI("network", c.command, net, name); r.Code == 0 {
				t.Fatal("not killed")
			}
			<-d.Exited()
			if err := d.Launch(); err != nil {
				t.Fatal(err)
			}
			equal(t, "networks", len(inspect(d, name).NetworkSettings.Networks), 1)
			equal(t, "interfaces", strings.Join(strings.Fields(d.Docker("exec", name, "ls", "/sys/class/net")), " "), "eth0 lo")
			d.Docker("network", "connect", net, name)
			if !pings(d, name, address(d, peer, net)) {
				t.Error("not connected after the crash")
			}
			d.Docker("network", "disconnect", net, name)
		})
	}
	d.Docker("rm", "-f", name, peer)
}

// TestManyContainersOnOneNetwork starts containers twenty at a time: no start is much slower than the others, and nothing is left.
func TestManyContainersOnOneNetwork(t *testing.T) {
	n := 40
	if *long {
		n = 100
	} else {
		t.Parallel()
	}
	d := own(t, testkit.Options{})
	net := makeNetwork(d)
	var mu sync.Mutex // guards took, seen
	var took []time.Duration
	seen := map[string]bool{}
	slots := make(chan struct{}, 20)
	var all sync.WaitGroup
	var names []string
	for range n {
		name := d.Name("many")
		names = append(names, name)
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			begun := time.Now()
			if r := d.CLI("run", "-d", "-p", "80", "--network", net, "--name", name, "busybox", "sleep", "1000"); r.Code != 0 {
				t.Error(r.Stderr)
				return
			}
			d := time.Since(begun)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, d)
		})
	}
	all.Wait()
	for _, name := range names {
		a := address(d, name, net)
		if seen[a] {
			t.Errorf("address %s was handed out twice", a)
		}
		seen[a] = true
	}
	equal(t, "containers in the network", len(inspectNetwork(d, net).Containers), n)
	slices.Sort(took)
	median, slowest := took[len(took)/2], took[len(took)*99/100]
	t.Logf("median %v, 99th percentile %v", median, slowest)
	if *long && slowest > 3*median {
		t.Errorf("the slowest of a hundred took %v, the median is %v", slowest, median)
	}
	d.Docker(append([]string{"rm", "-f"}, names...)...)
}
