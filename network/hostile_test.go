package network

import (
	"errors"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"gantry/network/sandbox"

	moby "github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// datagram is a UDP packet with whatever addresses the sender likes.
func datagram(from, to string, port uint16, payload string) []byte {
	src, dst := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
	udp := []byte{0x30, 0x39, byte(port >> 8), byte(port), 0, byte(8 + len(payload)), 0, 0} // no checksum, RFC 768
	p := []byte{0x45, 0, 0, byte(20 + len(udp) + len(payload)), 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	p = append(append(p, src[:]...), dst[:]...)
	var sum uint32 // RFC 791
	for i := 0; i < len(p); i += 2 {
		sum += uint32(p[i])<<8 | uint32(p[i+1])
	}
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	p[10], p[11] = ^byte(sum>>8), ^byte(sum)
	return append(append(p, udp...), payload...)
}

// inject puts a packet on the wire behind a namespace's eth0, past its own checks.
func inject(t *testing.T, key string, to net.HardwareAddr, packet []byte) {
	t.Helper()
	err := in(t, key, func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		addr := &unix.SockaddrLinklayer{Protocol: bits.ReverseBytes16(unix.ETH_P_IP), Ifindex: eth0.Index, Halen: 6}
		copy(addr.Addr[:], to)
		return errors.Join(unix.Sendto(fd, packet, 0, addr), unix.Close(fd))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Attack 19: what claims to come from the host itself, or to go to its loopback, is dropped, wherever it is sent from.
func TestSpoofedPacketsAreDropped(t *testing.T) {
	l := newLab(t)
	sb := l.connect(t, request(t, "web", "127.0.0.1:5353:53/udp"))
	var container, host net.PacketConn
	err := in(t, sb.Key, func() (err error) { container, err = net.ListenPacket("udp4", ":53"); return err })
	if err == nil {
		host, err = net.ListenPacket("udp4", ":5300")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer container.Close()
	defer host.Close()
	lab0, err := net.InterfaceByName("lab0")
	if err != nil {
		t.Fatal(err)
	}
	wire0, err := net.InterfaceByName("wire0")
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []struct {
		key string
		by  *net.Interface
		own string
	}{{neighbourKey, wire0, hostAddress}, {sb.Key, lab0, "172.17.0.1"}} {
		inject(t, from.key, from.by.HardwareAddr, datagram("127.0.0.1", from.own, 5300, "source"))
		inject(t, from.key, from.by.HardwareAddr, datagram("127.0.0.2", from.own, 5300, "source"))
		inject(t, from.key, from.by.HardwareAddr, datagram("198.51.100.1", "127.0.0.1", 5300, "loopback"))
		inject(t, from.key, from.by.HardwareAddr, datagram("198.51.100.1", "127.0.0.1", 5353, "published"))
	}
	inject(t, neighbourKey, wire0.HardwareAddr, datagram(neighbourAddress, hostAddress, 5300, "honest")) // the last one on the wire
	_ = host.SetReadDeadline(time.Now().Add(deadline))
	buf := make([]byte, 100)
	if n, from, err := host.ReadFrom(buf); err != nil || string(buf[:n]) != "honest" {
		t.Errorf("the host got %q from %v, %v", buf[:n], from, err)
	}
	_ = container.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, from, err := container.ReadFrom(buf); err == nil {
		t.Errorf("the container got %q from %v", buf[:n], from)
	}
}

func TestContainersReachTheWorldUnderTheirOwnAddress(t *testing.T) {
	l := newLab(t, func(c *Config) { c.NoMasquerade = true })
	sb := l.connect(t, request(t, "web"))
	serve(t, sb.Key, ":80", "web")
	serve(t, neighbourKey, neighbourAddress+":9000", "world")
	address := sb.Endpoints["bridge"].IPAddress.String()
	if who, seenAs, err := ask(t, sb.Key, neighbourAddress+":9000"); who != "world" || seenAs != address {
		t.Errorf("%q sees %q, %v", who, seenAs, err)
	}
	if who, _, err := ask(t, neighbourKey, address+":80", impatient); err == nil {
		t.Errorf("%q answers a stranger on a port that is not published", who)
	}
}

func TestFirstPacketIsNotLost(t *testing.T) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || major < 6 || major == 6 && minor < 8 {
		t.Skip("kernel starts bridge ports when it likes: " + release)
	}
	l := newLab(t)
	serve(t, neighbourKey, neighbourAddress+":9001", "world")
	for range 10 {
		sb := l.connect(t, request(t, "web"))
		begun := time.Now()
		if who, _, err := ask(t, sb.Key, neighbourAddress+":9001"); who != "world" {
			t.Fatal(who, err)
		}
		if took := time.Since(begun); took > 900*time.Millisecond { // a lost packet costs a second, RFC 6298 and arp(7)
			t.Errorf("the first answer came after %s", took)
		}
		l.disconnect(t, "web")
		l.background.Wait() // so that the next one is the first on the bridge again
	}
}

// A VPN that takes all traffic has a route to everywhere, in halves.
func TestRoutesOfVPNsDoNotTakeAllNetworks(t *testing.T) {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	wire, err := host.LinkByName("wire0")
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"0.0.0.0/1", "128.0.0.0/1", "172.17.3.0/24"} {
		_, dst, err := net.ParseCIDR(to)
		if err != nil {
			t.Fatal(err)
		}
		r := &netlink.Route{Dst: dst, LinkIndex: wire.Attrs().Index, Gw: net.ParseIP(neighbourAddress)}
		if err := host.RouteAdd(r); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = host.RouteDel(r) }()
	}
	l := newLab(t)
	n, err := l.Inspect(t.Context(), "bridge")
	if want := netip.MustParsePrefix("172.18.0.0/16"); err != nil || n.IPAM.Config[0].Subnet != want {
		t.Fatalf("%+v, %v: want %s", n, err, want)
	}
}

func TestSandboxesOfAnotherBootAreCleared(t *testing.T) {
	l := newLab(t)
	l.close(t)
	key := l.cfg.ExecRoot + "/netns/0123456789ab"
	if err := os.WriteFile(key, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	l.open(t)
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.background.Wait()
	if keys, err := sandbox.Keys(l.cfg.ExecRoot + "/netns"); err != nil || len(keys) != 0 {
		t.Fatal(keys, err)
	}
}

// A host that forwards because containers need it does not become a router between others.
func TestHostForwardsForContainersAlone(t *testing.T) {
	if err := os.WriteFile(forwardSwitch, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	far := strangersNetwork(t)
	serve(t, far, ":9000", "far")
	l := newLab(t)
	sb := l.connect(t, request(t, "web", "8080:80/tcp"))
	serve(t, sb.Key, ":80", "web")
	for range 2 { // a restart must not forget
		if who, _, err := ask(t, neighbourKey, "198.51.100.2:9000", impatient); err == nil {
			t.Errorf("%q answers by way of this host", who)
		}
		if who, _, err := ask(t, sb.Key, "198.51.100.2:9000"); who != "far" {
			t.Error(who, err)
		}
		if who, _, err := ask(t, neighbourKey, hostAddress+":8080"); who != "web" {
			t.Error(who, err)
		}
		l.close(t)
		l.open(t)
		if _, err := l.Adopt(t.Context(), request(t, "web"), *sb); err != nil {
			t.Fatal(err)
		}
	}
	l.disconnect(t, "web")
}

func TestRouterStaysOne(t *testing.T) {
	if err := os.WriteFile(forwardSwitch, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	serve(t, strangersNetwork(t), ":9000", "far")
	newLab(t)
	if who, _, err := ask(t, neighbourKey, "198.51.100.2:9000"); who != "far" {
		t.Fatal(who, err)
	}
}

// strangersNetwork gives the host a second neighbour, 198.51.100.2, and returns its namespace.
func strangersNetwork(t *testing.T) string {
	t.Helper()
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	pool, err := sandbox.NewPool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ns, err := pool.Get()
	if err := errors.Join(err, pool.Close()); err != nil {
		t.Fatal(err)
	}
	defer ns.Release()
	t.Cleanup(func() {
		removeLink(t, "far1") // the kernel takes its time to destroy a namespace with what is in it
		removeLink(t, "far0")
		if err := sandbox.Remove(ns.Key); err != nil {
			t.Error(err)
		}
	})
	err = wire(host, ns, "far0", "far1", netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("198.51.100.2/24"))
	if err != nil {
		t.Fatal(err)
	}
	return ns.Key
}

func TestWithoutProxyNothingIsPublishedOnIPv6(t *testing.T) {
	l := newLab(t, func(c *Config) { c.NoProxy = true })
	sb := l.connect(t, request(t, "web", "8080:80/tcp"))
	serve(t, sb.Key, ":80", "web")
	if b := sb.Ports[moby.MustParsePort("80/tcp")]; len(b) != 1 || b[0].HostIP != netip.IPv4Unspecified() {
		t.Errorf("%+v", b)
	}
	for _, from := range []struct{ key, to string }{{"", "127.0.0.1:8080"}, {neighbourKey, hostAddress + ":8080"}} {
		if who, _, err := ask(t, from.key, from.to); who != "web" {
			t.Error(who, err)
		}
	}
}
