package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"gantry/network/sandbox"

	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// neighbour is the neighbour's namespace, and neighbourKey the path to it.
var (
	neighbour    *os.File
	neighbourKey string
)

// outside makes a neighbour of the host: a namespace at the other end of a wire, with routes to everywhere by the host.
func outside() error {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer host.Close()
	lo, err := host.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := host.LinkSetUp(lo); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gantry-network-test-")
	if err != nil {
		return err
	}
	pool, err := sandbox.NewPool(dir)
	if err != nil {
		return err
	}
	ns, err := pool.Get()
	if err := errors.Join(err, pool.Close()); err != nil {
		return err
	}
	defer ns.Release()
	if neighbour, err = os.Open(ns.Key); err != nil {
		return err
	}
	neighbourKey = fmt.Sprintf("/proc/self/fd/%d", neighbour.Fd())
	if err := errors.Join(sandbox.Remove(ns.Key), os.Remove(dir)); err != nil {
		return err
	}
	return wire(host, ns, "wire0", "wire1", netip.MustParsePrefix(hostAddress+"/24"), netip.MustParsePrefix(neighbourAddress+"/24"))
}

// wire puts a namespace on a bridge of the host, with its default route by the host.
func wire(host *netlink.Handle, ns *sandbox.Namespace, bridge, port string, here, there netip.Prefix) error {
	b, err := sandbox.EnsureBridge(host, sandbox.Bridge{Name: bridge, Addresses: []netip.Prefix{here}, MTU: 1500, Owner: "test"})
	if err != nil {
		return err
	}
	last := there.Addr().As4()
	mac := net.HardwareAddr{2, 0, 0, 0, last[2], last[3]}
	if err := ns.AddVeth(host, sandbox.Veth{HostName: port, Name: "eth0", Bridge: b.Index, MTU: 1500, MAC: mac}); err != nil {
		return err
	}
	err = ns.Configure(sandbox.Interface{Name: "eth0", Addresses: []netip.Prefix{there}, Default4: sandbox.Default{Via: here.Addr()}})
	return errors.Join(err, sandbox.AwaitCarrier(host, port, b.Index))
}

// in runs f on a thread in a namespace, "" for the host's.
func in(t testing.TB, key string, f func() error) error {
	t.Helper()
	if key == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := netns.GetFromPath(key)
		if err == nil {
			err = errors.Join(netns.Set(fd), fd.Close())
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// serve answers every TCP connection to a port with name and the address that it came from, until the test ends.
func serve(t testing.TB, key, address, name string) {
	t.Helper()
	var l net.Listener
	err := in(t, key, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			fmt.Fprintf(conn, "%s %s\n", name, host)
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); ended.Wait() })
}

// ask returns who answers at an address, asked from a namespace.
func ask(t testing.TB, key, address string, patience ...func(*net.Dialer)) (who, seenAs string, err error) {
	t.Helper()
	err = in(t, key, func() error {
		d := net.Dialer{Timeout: deadline}
		for _, p := range patience {
			p(&d)
		}
		conn, err := d.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		line, err := bufio.NewReader(conn).ReadString('\n')
		who, seenAs, _ = strings.Cut(strings.TrimSpace(line), " ")
		return err
	})
	return who, seenAs, err
}

// lab is an open service on directories of its own.
type lab struct {
	*Service
	cfg Config
}

func newLab(t testing.TB, change ...func(*Config)) *lab {
	t.Helper()
	cfg := Config{Root: t.TempDir(), ExecRoot: t.TempDir(), Bridge: "lab0"}
	for _, c := range change {
		c(&cfg)
	}
	l := &lab{cfg: cfg}
	addBridge(t, cfg.Bridge)
	l.open(t)
	if err := l.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.close(t)
		removeLink(t, cfg.Bridge)
		keys, err := sandbox.Keys(filepath.Join(cfg.ExecRoot, "netns"))
		if err != nil {
			t.Error(err)
		}
		for _, k := range keys {
			if err := sandbox.Remove(k); err != nil {
				t.Error(err)
			}
		}
	})
	return l
}

// addBridge makes the bridge that --bridge names.
func addBridge(t testing.TB, name string) {
	if name == "" || name == "none" {
		return
	}
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if _, err := sandbox.EnsureBridge(host, sandbox.Bridge{Name: name}); err != nil {
		t.Fatal(err)
	}
}

func removeLink(t testing.TB, name string) {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if err := sandbox.Delete(host, name); err != nil {
		t.Error(err)
	}
}

func (l *lab) open(t testing.TB) {
	t.Helper()
	s, err := Open(context.Background(), l.cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Service = s
}

func (l *lab) close(t testing.TB) {
	t.Helper()
	if l.Service == nil {
		return
	}
	if err := l.Service.Close(context.Background()); err != nil {
		t.Error(err)
	}
	l.Service = nil
}

// request is a container that wants to be on the bridge, with bindings like "127.0.0.1:80:8080/tcp".
func request(t testing.TB, name string, bindings ...string) Request {
	t.Helper()
	r := Request{ContainerID: name, Name: name, Hostname: name, Mode: "bridge", Dir: t.TempDir(), Ports: network.PortMap{}}
	for _, b := range bindings {
		i := strings.LastIndexByte(b, ':')
		p := network.MustParsePort(b[i+1:])
		var binding network.PortBinding
		if b = b[:i]; strings.Contains(b, ":") {
			j := strings.LastIndexByte(b, ':')
			binding.HostIP, b = netip.MustParseAddr(strings.Trim(b[:j], "[]")), b[j+1:]
		}
		binding.HostPort = b
		r.Ports[p] = append(r.Ports[p], binding)
	}
	return r
}

func (l *lab) connect(t testing.TB, r Request) *Sandbox {
	t.Helper()
	sb, err := l.Connect(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return sb
}

func (l *lab) disconnect(t testing.TB, id string) {
	t.Helper()
	if err := l.Disconnect(context.Background(), id); err != nil {
		t.Fatal(err)
	}
}
