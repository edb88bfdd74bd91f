package integration

import (
	"encoding/json"
	"strings"
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
