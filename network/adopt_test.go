package network

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gantry/network/sandbox"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// left is what the host has of containers: sandboxes, interfaces and published ports.
func (l *lab) left(t *testing.T) (keys, veths []string, rules string) {
	t.Helper()
	keys, err := sandbox.Keys(filepath.Join(l.cfg.ExecRoot, "netns"))
	if err != nil {
		t.Fatal(err)
	}
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	link, err := host.LinkByName(l.cfg.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	links, err := host.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range links {
		if other.Attrs().MasterIndex == link.Attrs().Index {
			veths = append(veths, other.Attrs().Name)
		}
	}
	out, err := exec.Command("nft", "list", "table", "ip", "gantry").CombinedOutput()
	if err != nil {
		t.Skip("no nft to look at the rules with")
	}
	return keys, veths, string(out)
}

func TestNothingIsLeftAfterDisconnect(t *testing.T) {
	l := newLab(t)
	_, _, before := l.left(t)
	for _, r := range []Request{request(t, "web", "8080:80/tcp", "53:53/udp"), request(t, "db"), {ContainerID: "alone", Mode: "none"}} {
		l.connect(t, r)
		l.disconnect(t, r.ContainerID)
		l.disconnect(t, r.ContainerID) // that is no error
	}
	if _, err := l.Connect(t.Context(), request(t, "one", "8080:80/tcp", "8080:81/tcp")); err == nil {
		t.Fatal("a port was bound twice")
	}
	l.close(t)
	keys, veths, rules := l.left(t)
	if len(keys) != 0 || len(veths) != 0 || rules != before {
		t.Fatalf("sandboxes %v, interfaces %v, rules %s", keys, veths, rules)
	}
}

func TestPortsLeadToContainersWhileTheDaemonIsDead(t *testing.T) {
	l := newLab(t)
	r := request(t, "web", "8080:80/tcp", "127.0.0.1:8081:80/tcp")
	sb := l.connect(t, r)
	serve(t, sb.Key, ":80", "web")
	answers := func() {
		t.Helper()
		for _, c := range [][2]string{{neighbourKey, hostAddress + ":8080"}, {"", "127.0.0.1:8080"}, {"", "127.0.0.1:8081"}} {
			if who, _, err := ask(t, c[0], c[1]); who != "web" {
				t.Fatalf("%s: %q, %v", c[1], who, err)
			}
		}
	}
	l.close(t)
	answers()
	l.open(t)
	answers()
	if _, err := l.Adopt(t.Context(), r, *sb); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers()
	if _, err := l.Connect(t.Context(), request(t, "two", "8080:80/tcp")); err == nil || !strings.Contains(err.Error(), "port is already allocated") {
		t.Fatal(err)
	}
	if other := l.connect(t, request(t, "three")); other.Endpoints["bridge"].IPAddress == sb.Endpoints["bridge"].IPAddress {
		t.Fatal("the address of a running container was handed out")
	}
	found, err := l.Inspect(t.Context(), "bridge")
	if err != nil || found.Containers["web"].EndpointID != sb.Endpoints["bridge"].EndpointID {
		t.Fatalf("%+v, %v", found, err)
	}
	l.disconnect(t, "web")
	l.disconnect(t, "three")
	if who, _, err := ask(t, neighbourKey, hostAddress+":8080", impatient); err == nil {
		t.Fatalf("%q answers after it was disconnected", who)
	}
}

func TestSettleRemovesWhatNobodyClaims(t *testing.T) {
	l := newLab(t)
	lost, kept := request(t, "lost", "8080:80/tcp"), request(t, "kept", "8081:80/tcp")
	l.connect(t, lost)
	sb := l.connect(t, kept)
	l.close(t)
	l.open(t)
	again := l.connect(t, request(t, "new", "8080:80/tcp")) // a port that the lost one had, before Settle
	serve(t, again.Key, ":80", "new")
	if _, err := l.Adopt(t.Context(), kept, *sb); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if who, _, err := ask(t, neighbourKey, hostAddress+":8080"); who != "new" {
		t.Fatal(who, err)
	}
	l.disconnect(t, "new")
	l.close(t)
	keys, veths, _ := l.left(t)
	if !reflect.DeepEqual(keys, []string{sb.Key}) || !reflect.DeepEqual(veths, []string{"veth" + sb.Endpoints["bridge"].EndpointID[:7]}) {
		t.Fatalf("sandboxes %v, interfaces %v", keys, veths)
	}
}

func TestFlushedRulesAreReplaced(t *testing.T) {
	l := newLab(t)
	sb := l.connect(t, request(t, "web", "8080:80/tcp"))
	serve(t, sb.Key, ":80", "web")
	if err := exec.Command("nft", "flush", "ruleset").Run(); err != nil {
		t.Skip("no nft to flush the rules with")
	}
	l.connect(t, request(t, "other", "8081:80/tcp"))
	if who, _, err := ask(t, neighbourKey, hostAddress+":8080"); who != "web" {
		t.Fatal(who, err)
	}
	l.disconnect(t, "other")
}

func TestNetworksKeepTheirIDs(t *testing.T) {
	l := newLab(t)
	before, err := l.List(t.Context(), nil)
	if err != nil || len(before) != 3 {
		t.Fatal(before, err)
	}
	l.close(t)
	l.open(t)
	after, err := l.List(context.Background(), nil)
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Fatalf("%+v, %+v, %v", before, after, err)
	}
}

func TestInterfacesOfOthersStayOnTheBridge(t *testing.T) {
	l := newLab(t)
	l.connect(t, request(t, "lost"))
	_, ours, _ := l.left(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = "veth0123456", l.bridge.Index // a name that could be ours
	machine := netlink.NewVeth(attrs)
	machine.PeerName = "machine0"
	if err := l.host.LinkAdd(machine); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeLink(t, attrs.Name) })
	l.close(t)
	l.open(t)
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.background.Wait()
	if _, veths, _ := l.left(t); len(ours) != 1 || !reflect.DeepEqual(veths, []string{attrs.Name}) {
		t.Fatalf("%v at first, %v in the end", ours, veths)
	}
}

// A process that has a lost sandbox keeps the namespace, but not the network.
func TestLostSandboxIsCutOff(t *testing.T) {
	l := newLab(t)
	sb := l.connect(t, request(t, "lost"))
	kept, err := os.Open(sb.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	l.close(t)
	l.open(t)
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.background.Wait()
	if keys, veths, _ := l.left(t); len(keys) != 0 || len(veths) != 0 {
		t.Fatalf("sandboxes %v, interfaces %v", keys, veths)
	}
}
