package integration

import (
	"strings"
	"testing"

	"gantry/internal/testkit"
)

// TestNamesOnUserNetworks asks through the C library's and busybox's own resolver.
func TestNamesOnUserNetworks(t *testing.T) {
	t.Parallel()
	d := engine(t)
	network, other := d.Name("net"), d.Name("other")
	d.Docker("network", "create", network)
	d.Docker("network", "create", "--internal", other)
	t.Cleanup(func() { d.CLI("network", "rm", network, other) })
	db := up(d, "--network", network, "--network-alias", "database", "--hostname", "dbhost")
	app := up(d, "--network", network, "--link", db+":linked")
	address := func(name, network string) string { return inspect(d, name).NetworkSettings.Networks[network].IPAddress.String() }
	ip := address(db, network)
	for _, name := range []string{db, strings.ToUpper(db), "database", "linked", db + "." + network, inspect(d, db).ID[:12], "dbhost"} {
		contains(t, "answer for "+name, d.Docker("exec", app, "nslookup", name), "Address: "+ip)
	}
	contains(t, "answer for the address", d.Docker("exec", app, "nslookup", ip), db+"."+network)
	equal(t, "link seen by another", d.CLI("exec", db, "ping", "-c1", "-W2", "linked").Code, 1)
	contains(t, "resolv.conf", d.Docker("exec", app, "cat", "/etc/resolv.conf"), "nameserver 127.0.0.11", "ndots:0")

	d.Docker("network", "connect", "--alias", "late", other, db)
	d.Docker("network", "connect", other, app)
	contains(t, "answer after connecting", d.Docker("exec", app, "nslookup", "late"), "Address: "+address(db, other))
	d.Docker("network", "disconnect", other, db)
	if r := d.CLI("exec", app, "nslookup", "late"); strings.Contains(r.Stdout, "Name:\tlate") {
		t.Errorf("disconnected and still known: %s", r.Stdout)
	}
	renamed := d.Name("renamed")
	d.Docker("rename", db, renamed)
	contains(t, "answer for the new name", d.Docker("exec", app, "nslookup", renamed), "Address: "+ip)
}

// TestPort53IsTheWorkloads: a name server in a container can have all of its addresses, and is found by others.
func TestPort53IsTheWorkloads(t *testing.T) {
	t.Parallel()
	d := engine(t)
	network := d.Name("net")
	d.Docker("network", "create", network)
	t.Cleanup(func() { d.CLI("network", "rm", network) })
	name := up(d, "--network", network)
	d.Docker("exec", "-d", name, "nc", "-l", "-p", "53")
	const anyPort53 = "00000000:0035" // proc_net_tcp(5)
	d.Eventually("something listens at port 53", func() bool {
		list := d.CLI("exec", name, "cat", "/proc/net/tcp", "/proc/net/tcp6").Stdout
		return strings.Contains(list, anyPort53)
	})
	contains(t, "answer", d.Docker("exec", name, "nslookup", name), "Name:\t"+name)
}

// TestNamesWhileGantrydIsDead: not one query fails.
func TestNamesWhileGantrydIsDead(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	network := d.Name("net")
	d.Docker("network", "create", network)
	db, app := up(d, "--network", network), ""
	app = up(d, "--network", network)
	d.Docker("exec", "-d", app, "sh", "-c", `while ! test -e /stop; do nslookup `+db+` >/out 2>&1 && echo ok >>/good || { cat /out >>/bad; }; done; touch /done`)
	answered := func() string { return d.Docker("exec", app, "sh", "-c", "cat /good 2>/dev/null | wc -l") }
	d.Eventually("queries are answered", func() bool { return answered() != "0" })
	if err := d.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	before := answered()
	d.Eventually("queries are answered again", func() bool { return answered() != before })
	failed := d.Docker("exec", app, "sh", "-c", "cat /bad 2>/dev/null || true")
	if err := d.KillSupervisor(); err != nil { // the next one opens the responders again, where they were
		t.Fatal(err)
	}
	d.Eventually("the next supervisor answers", func() bool { return strings.Contains(d.CLI("exec", app, "nslookup", db).Stdout, "Name:\t"+db) })
	equal(t, "queries that failed while gantryd was dead", failed, "")
	d.Docker("exec", app, "sh", "-c", "touch /stop; while ! test -e /done; do sleep 0.1; done")
	late := up(d, "--network", network)
	contains(t, "a container that came later", d.Docker("exec", app, "nslookup", late), "Name:\t"+late)
	d.Docker("rm", "-f", db, app, late)
	d.Docker("network", "rm", network)
}

// TestEditedResolvConfIsLeftAlone: what the user wrote outlives restarts.
func TestEditedResolvConfIsLeftAlone(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("exec", name, "sh", "-c", "echo nameserver 192.0.2.1 >/etc/resolv.conf")
	d.Docker("restart", "-t", "0", name)
	equal(t, "resolv.conf", d.Docker("exec", name, "cat", "/etc/resolv.conf"), "nameserver 192.0.2.1")
}
