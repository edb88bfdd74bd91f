package driver_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"gantry/network/apart"
	"gantry/network/driver"
	"gantry/network/driver/bridge"
	"gantry/network/driver/host"
	"gantry/network/driver/ipvlan"
	"gantry/network/driver/macvlan"
	"gantry/network/driver/null"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestMain runs the tests on a host of their own.
func TestMain(m *testing.M) { apart.Main(m, apart.Nothing) }

const owner = "/data"

// subject is a driver with the options of a network of its.
type subject struct {
	driver.Driver
	options map[string]string
}

// drivers are all that there are. The parent of macvlan and ipvlan networks is an interface called wire.
func drivers(t *testing.T) (*netlink.Handle, map[string]subject) {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	if _, err := sandbox.EnsureBridge(h, sandbox.Bridge{Name: "wire"}); err != nil {
		t.Fatal(err)
	}
	return h, map[string]subject{
		"bridge":                   {bridge.New(h, h, owner, func() bool { return false }), map[string]string{driver.MTU: "1400"}},
		"macvlan":                  {macvlan.New(h, owner), map[string]string{"parent": "wire"}},
		"macvlan without a parent": {macvlan.New(h, owner), nil},
		"ipvlan":                   {ipvlan.New(h, owner), map[string]string{"parent": "wire"}},
		"ipvlan l3":                {ipvlan.New(h, owner), map[string]string{"parent": "wire", "ipvlan_mode": "l3"}},
		"host":                     {host.Driver{}, nil},
		"null":                     {null.Driver{}, nil},
	}
}

func sample(options map[string]string) *driver.Network {
	return &driver.Network{ID: strings.Repeat("0123456789abcdef", 4), Name: "web", IPv4: true, IPv6: true, Options: options, Subnets: []driver.Subnet{
		{Prefix: netip.MustParsePrefix("10.9.0.0/24"), Gateway: netip.MustParseAddr("10.9.0.1")},
		{Prefix: netip.MustParsePrefix("fd00:9::/64"), Gateway: netip.MustParseAddr("fd00:9::1")},
	}}
}

func links(t *testing.T, h *netlink.Handle) (names []string) {
	t.Helper()
	all, err := h.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		names = append(names, l.Attrs().Name)
	}
	return names
}

// TestEveryDriver is what the room expects of a driver.
func TestEveryDriver(t *testing.T) {
	h, all := drivers(t)
	for name, d := range all {
		t.Run(name, func(t *testing.T) {
			ctx, n := t.Context(), sample(d.options)
			before := len(links(t, h))
			if err := d.Check(n); err != nil {
				t.Fatal(err)
			}
			if len(links(t, h)) != before {
				t.Error("Check changed the host")
			}
			for range 2 {
				if err := d.Create(ctx, n); err != nil {
					t.Fatal(err)
				}
			}
			pool, err := sandbox.NewPool(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			for i, address := range []string{"10.9.0.2/24", "10.9.0.3/24"} {
				joinAndLeave(t, d, n, pool, i, netip.MustParsePrefix(address))
			}
			for range 2 {
				if err := d.Remove(ctx, n); err != nil {
					t.Fatal(err)
				}
			}
			if now := links(t, h); len(now) != before {
				t.Errorf("left: %v", now)
			}
		})
	}
}

func joinAndLeave(t *testing.T, d subject, n *driver.Network, pool *sandbox.Pool, i int, address netip.Prefix) {
	t.Helper()
	ns, err := pool.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Release()
	defer sandbox.Remove(ns.Key)
	e := &driver.Endpoint{ID: strings.Repeat(string(rune('a'+i)), 64), Interface: "eth5", Addresses: []netip.Prefix{address}}
	if d.Traits().OwnMAC {
		e.MAC = net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}
	}
	err = d.Join(t.Context(), n, e, ns)
	if errors.Is(err, unix.EOPNOTSUPP) && strings.HasPrefix(t.Name(), "TestEveryDriver/ipvlan") {
		if err := d.Remove(t.Context(), n); err != nil {
			t.Error(err)
		}
		t.Skip("kernel has no ipvlan")
	}
	if err != nil {
		t.Fatal(err)
	}
	if d.Traits().Addresses {
		way := d.Route(n, n.Subnets[0])
		if err := ns.Configure(sandbox.Interface{Name: "eth5", Addresses: append(e.Addresses, netip.MustParsePrefix("fd00:9::5/64")), Default4: way}); err != nil {
			t.Fatal(err)
		}
		names, err := ns.Interfaces()
		if err != nil || names[address.Addr()] != "eth5" || names[netip.MustParseAddr("fd00:9::5")] != "eth5" {
			t.Errorf("%v, %v", names, err)
		}
	}
	for range 2 {
		if err := d.Leave(t.Context(), n, e, ns); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := ns.Interfaces(); err != nil || len(names) > 2 { // loopback's own
		t.Errorf("left: %v, %v", names, err)
	}
}

func TestRefusedOptions(t *testing.T) {
	_, all := drivers(t)
	for _, c := range []struct{ driver, option, value, want string }{
		{"bridge", "com.docker.network.bridge.enable_icc", "perhaps", `failed to parse com.docker.network.bridge.enable_icc value: "perhaps"`},
		{"bridge", driver.MTU, "-1", `failed to parse com.docker.network.driver.mtu value: "-1"`},
		{"bridge", "com.docker.network.bridge.gateway_mode_ipv4", "open", "unknown gateway mode open"},
		{"bridge", "com.docker.network.bridge.gateway_mode_ipv6", "isolated", "gateway mode 'isolated' can only be used for an internal network"},
		{"bridge", "com.docker.network.bridge.name", "a-name-that-is-too-long", "at most 15 characters"},
		{"macvlan", "macvlan_mode", "l2", "requested macvlan mode 'l2' is not valid"},
		{"macvlan", "parent", "nosuch", "parent interface nosuch was not found"},
		{"macvlan", "parent", "lo", "loopback interface is not a valid parent link"},
		{"macvlan", "parent", "wire.5000", "vlan id must be between 1-4094, received: 5000"},
		{"macvlan", "parent", "nosuch.5", "failed to find master interface nosuch"},
		{"ipvlan", "ipvlan_mode", "bridge", "requested ipvlan mode 'bridge' is not valid"},
		{"ipvlan", "ipvlan_flag", "x", "requested ipvlan flag 'x' is not valid"},
	} {
		err := all[c.driver].Check(sample(map[string]string{c.option: c.value}))
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v", c.option, c.value, err)
		}
	}
}

// What the making of a network has left that was interrupted is removed; what is somebody's own stays.
func TestSweepRemovesWhatIsLost(t *testing.T) {
	h, all := drivers(t)
	before := links(t, h)
	for _, name := range []string{"bridge", "macvlan without a parent"} {
		if err := all[name].Create(t.Context(), sample(all[name].options)); err != nil {
			t.Fatal(err)
		}
	}
	if len(links(t, h)) != len(before)+2 {
		t.Fatal(links(t, h))
	}
	_, again := drivers(t) // those of the next process
	for name, d := range again {
		if sweeper, ok := d.Driver.(driver.Sweeper); ok {
			if err := sweeper.Sweep(nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if now := links(t, h); len(now) != len(before) {
		t.Errorf("%v became %v", before, now)
	}
}

func TestParentIsForOneNetworkAlone(t *testing.T) {
	_, all := drivers(t)
	d := all["macvlan"]
	first, second := sample(map[string]string{"parent": "wire", "macvlan_mode": "passthru"}), sample(d.options)
	second.ID = strings.Repeat("f", 64)
	if err := d.Create(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(second); !errdefs.IsPermissionDenied(err) || err.Error() != "network 0123456789ab is already using parent interface wire" {
		t.Error(err)
	}
	if err := d.Remove(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(second); err != nil {
		t.Error(err)
	}
}
