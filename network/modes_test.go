package network

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry/events"

	"github.com/containerd/errdefs"
	moby "github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

func TestInterfaceIsConfigured(t *testing.T) {
	l := newLab(t, func(c *Config) { c.BridgeIP, c.MTU = netip.MustParsePrefix("10.99.0.1/24"), 1400 })
	sb := l.connect(t, request(t, "web"))
	e := sb.Endpoints["bridge"]
	if e.IPAddress.String() != "10.99.0.2" || e.IPPrefixLen != 24 || e.Gateway.String() != "10.99.0.1" || e.MacAddress.String() != "02:42:0a:63:00:02" {
		t.Fatalf("%+v", e)
	}
	err := in(t, sb.Key, func() error {
		eth, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		addrs, err := eth.Addrs()
		if err != nil {
			return err
		}
		if len(addrs) != 1 || addrs[0].String() != "10.99.0.2/24" || eth.MTU != 1400 || eth.HardwareAddr.String() != e.MacAddress.String() {
			return fmt.Errorf("%v %+v", addrs, eth)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, neighbourKey, ":7000", "neighbour")
	if who, seenAs, err := ask(t, sb.Key, neighbourAddress+":7000"); who != "neighbour" || seenAs != hostAddress {
		t.Fatalf("%q sees %q, %v", who, seenAs, err)
	}
}

func TestMACAddressOfTheUser(t *testing.T) {
	l := newLab(t)
	r := request(t, "web")
	mac := network.HardwareAddr{2, 1, 2, 3, 4, 5}
	r.Endpoints = map[string]*network.EndpointSettings{"bridge": {MacAddress: mac}}
	for range 2 { // the second time with what the first has returned, as after a restart
		sb := l.connect(t, r)
		if e := sb.Endpoints["bridge"]; e.MacAddress.String() != mac.String() {
			t.Fatalf("%+v", e)
		}
		l.disconnect(t, "web")
		r.Endpoints = sb.Endpoints
	}
	r.Endpoints = nil
	first := l.connect(t, r)
	l.disconnect(t, "web")
	r.Endpoints = first.Endpoints
	if e := l.connect(t, r).Endpoints["bridge"]; e.MacAddress.String() != net.HardwareAddr(macOf(e.IPAddress)).String() {
		t.Fatalf("an address of its own became a wish: %+v", e)
	}
}

func TestNoneHasLoopbackAlone(t *testing.T) {
	l := newLab(t)
	sb := l.connect(t, Request{ContainerID: "alone", Mode: "none", Dir: t.TempDir()})
	err := in(t, sb.Key, func() error {
		all, err := net.Interfaces()
		if err == nil && (len(all) != 1 || all[0].Flags&net.FlagUp == 0) {
			err = fmt.Errorf("%+v", all)
		}
		return err
	})
	if err != nil || sb.Endpoints["none"].NetworkID == "" {
		t.Fatal(err)
	}
}

func TestHostHasNoSandboxOfItsOwn(t *testing.T) {
	l := newLab(t)
	r := Request{ContainerID: "bare", Mode: "host", Hostname: "bare", Dir: t.TempDir(), Hosts: []string{"there:192.0.2.9"}}
	sb := l.connect(t, r)
	if sb.Key != "" || len(sb.ID) != 64 || sb.Endpoints["host"].EndpointID == "" {
		t.Fatalf("%+v", sb)
	}
	hosts, err := os.ReadFile(filepath.Join(r.Dir, "hosts"))
	if err != nil || !strings.HasSuffix(string(hosts), "192.0.2.9\tthere\n") {
		t.Fatalf("%s %v", hosts, err)
	}
	l.disconnect(t, "bare")
}

func TestIsolatedContainersDoNotReachOneAnother(t *testing.T) {
	l := newLab(t, func(c *Config) { c.NoICC = true })
	one, two := l.connect(t, request(t, "one", "8080:80/tcp")), l.connect(t, request(t, "two"))
	serve(t, one.Key, ":80", "one")
	if who, _, err := ask(t, two.Key, one.Endpoints["bridge"].IPAddress.String()+":80", impatient); err == nil {
		t.Fatalf("%q answers", who)
	}
	if who, _, err := ask(t, two.Key, hostAddress+":8080"); who != "one" {
		t.Fatal(who, err)
	}
}

func TestCheckRefuses(t *testing.T) {
	l := newLab(t)
	err := l.Check(t.Context(), Request{Mode: "web"})
	if !errdefs.IsNotFound(err) || err.Error() != "network web not found" {
		t.Error(err)
	}
	for want, e := range map[string]*network.EndpointSettings{
		"invalid config for network bridge: invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks": {Aliases: []string{"db"}},
		"invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only": {
			IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("172.17.0.9")},
		},
	} {
		err := l.Check(t.Context(), Request{Mode: "default", Endpoints: map[string]*network.EndpointSettings{"default": e}})
		if !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Error(err)
		}
	}
}

func TestAnyPortIsTheSameOnBothFamilies(t *testing.T) {
	l := newLab(t)
	r := request(t, "web", ":80/tcp", "8000-8001:81/tcp", "8000-8001:82/tcp")
	r.Publish, r.Exposed = true, network.PortSet{network.MustParsePort("90/udp"): {}}
	sb := l.connect(t, r)
	seen := map[string]bool{}
	for _, port := range []string{"80/tcp", "81/tcp", "82/tcp", "90/udp"} {
		b := sb.Ports[network.MustParsePort(port)]
		if len(b) != 2 || b[0].HostIP.String() != "0.0.0.0" || b[1].HostIP.String() != "::" || b[0].HostPort != b[1].HostPort {
			t.Errorf("%s: %+v", port, b)
			continue
		}
		if seen[b[0].HostPort] {
			t.Errorf("port %s is there twice", b[0].HostPort)
		}
		seen[b[0].HostPort] = true
	}
	if !seen["8000"] || !seen["8001"] {
		t.Error(seen)
	}
}

func TestDatagramsReachTheContainerThatHasThePortNow(t *testing.T) {
	l := newLab(t)
	var client net.Conn
	if err := in(t, neighbourKey, func() (err error) { client, err = net.Dial("udp", hostAddress+":5300"); return err }); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, name := range []string{"one", "two"} {
		sb := l.connect(t, request(t, name, "5300:53/udp"))
		var server net.PacketConn
		if err := in(t, sb.Key, func() (err error) { server, err = net.ListenPacket("udp", ":53"); return err }); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
		_ = server.SetReadDeadline(time.Now().Add(deadline))
		buf := make([]byte, 10)
		n, _, err := server.ReadFrom(buf)
		if err != nil || string(buf[:n]) != name {
			t.Fatalf("%q, %v", buf[:n], err)
		}
		server.Close()
		l.disconnect(t, name)
	}
}

func TestThousandPorts(t *testing.T) {
	l := newLab(t)
	r := request(t, "many")
	for p := range uint16(1000) {
		port, _ := network.PortFrom(1000+p, network.TCP)
		r.Ports[port] = []network.PortBinding{{HostPort: fmt.Sprint(20000 + p)}}
	}
	sb := l.connect(t, r)
	serve(t, sb.Key, ":1999", "last")
	if who, _, err := ask(t, neighbourKey, hostAddress+":20999"); who != "last" {
		t.Fatal(who, err)
	}
	l.disconnect(t, "many")
	l.connect(t, r)
	l.disconnect(t, "many")
}

func TestEventsTellOfConnections(t *testing.T) {
	journal, err := events.Open(t.Context(), events.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, func(c *Config) { c.Events = journal })
	since := time.Now().Add(-time.Minute)
	l.connect(t, request(t, "web"))
	l.disconnect(t, "web")
	var seen []string
	all, err := journal.Subscribe(t.Context(), events.Query{Since: since, Until: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, fmt.Sprint(m.Type, " ", m.Action, " ", m.Actor.Attributes["container"], " ", m.Actor.Attributes["type"]))
	}
	want := fmt.Sprint(moby.NetworkEventType) + " connect web bridge," + fmt.Sprint(moby.NetworkEventType) + " disconnect web bridge"
	if strings.Join(seen, ",") != want {
		t.Fatal(seen)
	}
}

func BenchmarkConnectDisconnect(b *testing.B) {
	l := benchLab(b)
	r := request(b, "web", "8080:80/tcp")
	var connecting, disconnecting time.Duration
	for b.Loop() {
		r.Dir = b.TempDir() // of a container that starts for the first time
		begun := time.Now()
		l.connect(b, r)
		connecting += time.Since(begun)
		begun = time.Now()
		l.disconnect(b, "web")
		disconnecting += time.Since(begun)
		l.background.Wait() // a machine that starts and stops one container after the other does so at a slower pace
	}
	b.ReportMetric(float64(disconnecting.Microseconds())/float64(b.N), "µs/disconnect")
	b.ReportMetric(float64(connecting.Microseconds())/float64(b.N), "µs/connect")
}
