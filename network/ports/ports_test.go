package ports

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"gantry/network/apart"

	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

// TestMain runs the tests on a host of their own, where every port is free.
func TestMain(m *testing.M) {
	apart.Main(m, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
}

func wish(port string, first, last uint16, hosts ...string) Wish {
	w := Wish{Container: network.MustParsePort(port), First: first, Last: last}
	for _, h := range hosts {
		w.Hosts = append(w.Hosts, netip.MustParseAddr(h))
	}
	return w
}

// container stands for the container's address.
func container() netip.Addr { return netip.MustParseAddr("127.0.0.9") }

func TestAddressesOverlap(t *testing.T) {
	for _, c := range []struct {
		first, second string
		conflict      bool
	}{
		{"0.0.0.0", "0.0.0.0", true},
		{"0.0.0.0", "127.0.0.1", true},
		{"127.0.0.1", "0.0.0.0", true},
		{"127.0.0.1", "127.0.0.2", false},
		{"0.0.0.0", "::", false},
		{"::", "::1", true},
	} {
		a := New(false)
		one, err := a.Bind(t.Context(), wish("80/tcp", 8080, 8080, c.first), container())
		if err != nil {
			t.Fatal(err)
		}
		two, err := a.Bind(t.Context(), wish("80/tcp", 8080, 8080, c.second), container())
		if (err != nil) != c.conflict {
			t.Errorf("%s, then %s: %v", c.first, c.second, err)
		}
		want := "Bind for " + netip.AddrPortFrom(netip.MustParseAddr(c.second), 8080).String() + " failed: port is already allocated"
		if c.conflict && err != nil && err.Error() != want {
			t.Error(err)
		}
		if err := a.Release(append(one, two...)); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsHeldAfterAFailure(t *testing.T) {
	a := New(false)
	taken, err := net.Listen("tcp6", "[::]:8080")
	if err != nil {
		t.Skip("host has no IPv6")
	}
	if _, err := a.Bind(t.Context(), wish("80/tcp", 8080, 8080, "0.0.0.0", "::"), container()); err == nil {
		t.Fatal("a port was bound twice")
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := a.Bind(t.Context(), wish("80/tcp", 8080, 8080, "0.0.0.0", "::"), container())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Release(b); err != nil {
		t.Fatal(err)
	}
}

func TestAnyPortSkipsWhatIsTaken(t *testing.T) {
	a := New(false)
	taken, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", firstEphemeral))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for i := range 3 {
		b, err := a.Bind(t.Context(), wish("80/tcp", 0, 0, "0.0.0.0"), container())
		if err != nil || b[0].Host.Port() != uint16(firstEphemeral+1+i) {
			t.Fatal(b, err)
		}
		defer a.Release(b)
	}
}

func TestSocketThatDoesNotForwardNeverAnswers(t *testing.T) {
	a := New(false)
	b, err := a.Bind(t.Context(), wish("80/tcp", 8080, 8080, "0.0.0.0"), container())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release(b)
	if conn, err := net.DialTimeout("tcp4", "127.0.0.1:8080", 200*time.Millisecond); err == nil {
		conn.Close()
		t.Fatal("the reservation accepts connections")
	}
	for _, address := range []string{":8080", "127.0.0.1:8080"} {
		if l, err := net.Listen("tcp4", address); err == nil { // with SO_REUSEADDR, as most do
			l.Close()
			t.Error("another process can have", address)
		}
	}
}

// The port of a server that has just ended can be had, though the kernel keeps what is left of its connections.
func TestLingeringConnectionsDoNotTakeAPort(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:8082")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp4", "127.0.0.1:8082")
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.Close(), l.Close()); err != nil { // who closes first lingers
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, client); err != nil {
		t.Fatal(err)
	}
	client.Close()
	for _, proxy := range []bool{false, true} {
		a := New(proxy)
		b, err := a.Bind(t.Context(), wish("80/tcp", 8082, 8082, "0.0.0.0"), container())
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := net.DialTimeout("tcp4", "127.0.0.1:8082", 200*time.Millisecond); err == nil && !proxy {
			conn.Close()
			t.Error("the reservation accepts connections")
		} else if err == nil {
			conn.Close()
		}
		if err := a.Release(b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStreamsAreForwarded(t *testing.T) {
	a := New(false)
	server, err := net.Listen("tcp4", container().String()+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		all, _ := io.ReadAll(conn) // to the end of what the client sends
		_, _ = fmt.Fprintf(conn, "got %s", all)
	}()
	b, err := a.Bind(t.Context(), wish("80/tcp", 8080, 8080, "::"), container())
	if err != nil {
		t.Skip("host has no IPv6")
	}
	conn, err := net.Dial("tcp6", "[::1]:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != "got hello" {
		t.Fatalf("%q, %v", answer, err)
	}
	if err := a.Release(b); err != nil {
		t.Fatal(err)
	}
}

func TestReleaseEndsWhatIsForwarded(t *testing.T) {
	a := New(false)
	server, err := net.Listen("tcp4", container().String()+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	b, err := a.Bind(t.Context(), wish("80/tcp", 8080, 8080, "::"), container())
	if err != nil {
		t.Skip("host has no IPv6")
	}
	conn, err := net.Dial("tcp6", "[::1]:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := server.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := a.Release(b); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestDatagramsAreForwarded(t *testing.T) {
	a := New(false)
	server, err := net.ListenPacket("udp4", container().String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(append([]byte("got "), buf[:n]...), from)
		}
	}()
	b, err := a.Bind(t.Context(), wish("53/udp", 5300, 5300, "::"), container())
	if err != nil {
		t.Skip("host has no IPv6")
	}
	defer a.Release(b)
	conn, err := net.Dial("udp6", "[::1]:5300")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, message := range []string{"one", "two"} {
		if _, err := conn.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 100)
		n, err := conn.Read(buf)
		if err != nil || string(buf[:n]) != "got "+message {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
}

func TestFloodOfSendersLocksNobodyOut(t *testing.T) {
	server, err := net.ListenPacket("udp4", net.JoinHostPort(container().String(), "54"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	a := New(true)
	b, err := a.Bind(t.Context(), wish("54/udp", 5400, 5400, "127.0.0.1"), container())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release(b)
	buf := make([]byte, 100)
	seen := map[string]bool{}
	for n := range 2 * maxSenders {
		conn, err := net.Dial("udp4", "127.0.0.1:5400")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, n); err != nil {
			t.Fatal(err)
		}
		_ = server.SetReadDeadline(time.Now().Add(10 * time.Second))
		got, from, err := server.ReadFrom(buf)
		if err != nil || string(buf[:got]) != fmt.Sprint(n) {
			t.Fatalf("sender %d: %q, %v", n, buf[:got], err)
		}
		seen[from.String()] = true
		if n < 2*maxSenders-1 {
			continue
		}
		if _, err := server.WriteTo([]byte("answer"), from); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, err := conn.Read(buf); err != nil || string(buf[:got]) != "answer" {
			t.Fatalf("%q, %v", buf[:got], err)
		}
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil || len(open) > 2*maxSenders+maxSenders+50 { // theirs, ours, and those of the test
		t.Fatalf("%d descriptors after %d senders, %v", len(open), len(seen), err)
	}
}
