package dns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func sample() Table {
	return Table{Networks: []Network{
		{Name: "Front", Records: map[string][]netip.Addr{
			"web": addrs("10.0.0.2", "fd00::2"), "pool": addrs("10.0.0.3", "10.0.0.4", "10.0.0.5"), "six": addrs("fd00::6"), "both": addrs("10.0.0.7"),
		}, Names: map[netip.Addr]string{netip.MustParseAddr("10.0.0.2"): "web", netip.MustParseAddr("fd00::2"): "web"}},
		{Name: "back", Internal: true, Records: map[string][]netip.Addr{"both": addrs("10.1.0.7"), "db": addrs("10.1.0.2")}},
	}}
}

func query(name string, kind uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, kind) }

// values are the data of the answers, sorted.
func values(m *dns.Msg) string {
	var out []string
	for _, rr := range m.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestAnswers(t *testing.T) {
	table := sample()
	for _, c := range []struct {
		name string
		kind uint16
		want string // "-" for a query that is forwarded
	}{
		{"web.", dns.TypeA, "10.0.0.2"},
		{"WEB.", dns.TypeA, "10.0.0.2"},
		{"web.", dns.TypeAAAA, "fd00::2"},
		{"pool.", dns.TypeA, "10.0.0.3 10.0.0.4 10.0.0.5"},
		{"pool.", dns.TypeAAAA, ""},
		{"six.", dns.TypeA, ""},
		{"web.", dns.TypeMX, ""},
		{"web.front.", dns.TypeA, "10.0.0.2"},
		{"both.", dns.TypeA, "10.0.0.7"},
		{"both.back.", dns.TypeA, "10.1.0.7"},
		{"db.front.", dns.TypeA, "-"},
		{"example.com.", dns.TypeA, "-"},
		{"2.0.0.10.in-addr.arpa.", dns.TypePTR, "web.Front."},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", dns.TypePTR, "web.Front."},
		{"9.9.9.9.in-addr.arpa.", dns.TypePTR, "-"},
		{"nonsense.in-addr.arpa.", dns.TypePTR, "-"},
	} {
		got := "-"
		if reply := table.answer(query(c.name, c.kind)); reply != nil {
			got = values(reply)
			if reply.Rcode != dns.RcodeSuccess || !reply.Response || !reply.RecursionAvailable {
				t.Errorf("%s: %v", c.name, reply.MsgHdr)
			}
		}
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.name, dns.TypeToString[c.kind], got, c.want)
		}
	}
}

func TestSeveralAddressesTakeTurns(t *testing.T) {
	table, first := sample(), map[string]int{}
	for range 300 {
		first[table.answer(query("pool.", dns.TypeA)).Answer[0].(*dns.A).A.String()]++
	}
	for _, a := range []string{"10.0.0.3", "10.0.0.4", "10.0.0.5"} {
		if first[a] < 50 {
			t.Errorf("%s came first %d times of 300", a, first[a])
		}
	}
}

// sandbox makes a network namespace with its loopback up and returns its path; inside runs functions there.
func sandbox(t *testing.T) (path string, inside func(func())) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "netns")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	calls, done := make(chan func()), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
				return err
			}
			return raiseLoopback()
		}()
		for fn := range calls {
			fn()
			done <- nil
		}
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(calls)
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return path, func(fn func()) { calls <- fn; <-done }
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func ask(t *testing.T, inside func(func()), network string, port uint16, q *dns.Msg) *dns.Msg {
	t.Helper()
	var reply *dns.Msg
	var err error
	inside(func() {
		c := dns.Client{Net: network}
		reply, _, err = c.Exchange(q, net.JoinHostPort(Address, strconv.Itoa(int(port))))
	})
	if err != nil {
		t.Fatalf("%s by %s: %v", q.Question[0].Name, network, err)
	}
	return reply
}

func open(t *testing.T, path string, table Table) *Server {
	t.Helper()
	s, err := Open(path, table, Ports{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestServerAnswersInTheNamespace(t *testing.T) {
	path, inside := sandbox(t)
	s := open(t, path, sample())
	if s.Ports().UDP == 0 || s.Ports().TCP == 0 {
		t.Fatalf("ports %+v", s.Ports())
	}
	if got := values(ask(t, inside, "udp", s.Ports().UDP, query("web.", dns.TypeA))); got != "10.0.0.2" {
		t.Errorf("by UDP: %q", got)
	}
	if got := values(ask(t, inside, "tcp", s.Ports().TCP, query("web.", dns.TypeAAAA))); got != "fd00::2" {
		t.Errorf("by TCP: %q", got)
	}
	s.Set(Table{Networks: []Network{{Name: "n", Records: map[string][]netip.Addr{"web": addrs("10.9.9.9")}}}})
	if got := values(ask(t, inside, "udp", s.Ports().UDP, query("web.", dns.TypeA))); got != "10.9.9.9" {
		t.Errorf("after the change: %q", got)
	}
}

func TestServerOpensAgainAtTheSamePorts(t *testing.T) {
	path, inside := sandbox(t)
	s, err := Open(path, sample(), Ports{})
	if err != nil {
		t.Fatal(err)
	}
	ports := s.Ports()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, sample(), ports)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Ports() != ports || values(ask(t, inside, "udp", ports.UDP, query("web.", dns.TypeA))) != "10.0.0.2" {
		t.Errorf("ports %+v, then %+v", ports, again.Ports())
	}
}

func TestLargeAnswersAreTruncatedByUDP(t *testing.T) {
	path, inside := sandbox(t)
	table := Table{Networks: []Network{{Name: "n", Records: map[string][]netip.Addr{}}}}
	for i := range 200 {
		table.Networks[0].Records["many"] = append(table.Networks[0].Records["many"], netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}))
	}
	s := open(t, path, table)
	if reply := ask(t, inside, "udp", s.Ports().UDP, query("many.", dns.TypeA)); !reply.Truncated || len(reply.Answer) > 31 {
		t.Errorf("%d answers, truncated %v", len(reply.Answer), reply.Truncated)
	}
	if reply := ask(t, inside, "tcp", s.Ports().TCP, query("many.", dns.TypeA)); reply.Truncated || len(reply.Answer) != 200 {
		t.Errorf("%d answers by TCP, truncated %v", len(reply.Answer), reply.Truncated)
	}
}

// upstream is a server in the namespace that answers every query with its own address.
func upstream(t *testing.T, inside func(func()), address string, code int) netip.AddrPort {
	t.Helper()
	var packets net.PacketConn
	var stream net.Listener
	inside(func() {
		var err error
		if packets, err = net.ListenPacket("udp4", net.JoinHostPort(address, "0")); err == nil {
			stream, err = net.Listen("tcp4", packets.LocalAddr().String())
		}
		if err != nil {
			t.Error(err)
		}
	})
	if packets == nil || stream == nil {
		t.FailNow()
	}
	handle := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetRcode(q, code)
		if code == dns.RcodeSuccess {
			rr, _ := dns.NewRR(fmt.Sprintf("%s 5 IN TXT %q", q.Question[0].Name, address))
			reply.Answer = []dns.RR{rr}
		}
		_ = w.WriteMsg(reply)
	})
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handle}, {Listener: stream, Handler: handle}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return netip.MustParseAddrPort(packets.LocalAddr().String())
}

// externally gives the namespace an address that is not of its loopback, where servers are asked from inside.
func externally(t *testing.T, inside func(func())) string {
	t.Helper()
	const address = "192.0.2.53"
	inside(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		ifr, err := unix.NewIfreq("lo:1")
		if err == nil {
			err = ifr.SetInet4Addr(netip.MustParseAddr(address).AsSlice())
		}
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCSIFADDR, ifr)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return address
}

func TestOtherNamesAreAskedOutside(t *testing.T) {
	path, inside := sandbox(t)
	address := externally(t, inside)
	table := sample()
	table.Upstream = []netip.AddrPort{upstream(t, inside, address, dns.RcodeServerFailure), upstream(t, inside, address, dns.RcodeSuccess)}
	s := open(t, path, table)
	for network, port := range map[string]uint16{"udp": s.Ports().UDP, "tcp": s.Ports().TCP} {
		q := query("example.com.", dns.TypeTXT)
		reply := ask(t, inside, network, port, q)
		if values(reply) != `"`+address+`"` || reply.Id != q.Id {
			t.Errorf("by %s: %v", network, reply)
		}
	}
}

func TestAnInternalNetworkAsksNobody(t *testing.T) {
	path, inside := sandbox(t)
	address := externally(t, inside)
	table := Table{Networks: []Network{{Name: "n", Internal: true}}, Upstream: []netip.AddrPort{upstream(t, inside, address, dns.RcodeSuccess)}}
	s := open(t, path, table)
	for _, q := range []*dns.Msg{query("secret.example.com.", dns.TypeTXT), query("9.9.9.9.in-addr.arpa.", dns.TypePTR)} {
		if reply := ask(t, inside, "udp", s.Ports().UDP, q); reply.Rcode != dns.RcodeServerFailure || len(reply.Answer) > 0 {
			t.Errorf("leaked: %v", reply)
		}
	}
}

func TestManyQueriesAtOnce(t *testing.T) {
	path, inside := sandbox(t)
	s := open(t, path, sample())
	inside(func() {
		conn, err := net.Dial("udp4", net.JoinHostPort(Address, strconv.Itoa(int(s.Ports().UDP))))
		if err == nil {
			err = conn.SetDeadline(time.Now().Add(10 * time.Second))
		}
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		c := dns.Conn{Conn: conn}
		const n, together = 10, 50 // no more than fit into the sockets' buffers
		for range n {
			for range together {
				if err := c.WriteMsg(query("web.", dns.TypeA)); err != nil {
					t.Error(err)
					return
				}
			}
			for range together {
				if m, err := c.ReadMsg(); err != nil || values(m) != "10.0.0.2" {
					t.Errorf("%v, %v", m, err)
					return
				}
			}
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, q := range []*dns.Msg{query("web.", dns.TypeA), query("2.0.0.10.in-addr.arpa.", dns.TypePTR), query("x.ip6.arpa.", dns.TypePTR), new(dns.Msg)} {
		data, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	s := &Server{slots: make(chan struct{}, 1)}
	table := sample()
	for i := range table.Networks {
		table.Networks[i].Internal = true // nothing is sent
	}
	s.table.Store(&table)
	f.Fuzz(func(t *testing.T, data []byte) {
		q := new(dns.Msg)
		if q.Unpack(data) != nil {
			return
		}
		reply := handler{s, "udp"}.reply(q)
		if reply == nil {
			return
		}
		reply.Truncate(dns.MinMsgSize)
		if _, err := reply.Pack(); err != nil {
			t.Errorf("%v: %v", q, err)
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	table := sample()
	q := query("web.", dns.TypeA)
	for b.Loop() {
		if _, err := table.answer(q).Pack(); err != nil {
			b.Fatal(err)
		}
	}
}
