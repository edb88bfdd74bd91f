package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry/events"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// make makes a network that is removed when the test ends.
func (l *lab) make(t testing.TB, req network.CreateRequest) string {
	t.Helper()
	id, err := l.Create(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l.Service == nil {
			l.open(t)
		}
		if err := l.Remove(context.Background(), id); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	})
	return id
}

// on is a container that wants to be in a network of the user's.
func on(t testing.TB, name, net string, bindings ...string) Request {
	r := request(t, name, bindings...)
	r.ContainerID, r.Mode = name+"0123456789abcdef", net
	return r
}

func TestContainersOnAUsersNetwork(t *testing.T) {
	l := newLab(t)
	id := l.make(t, network.CreateRequest{Name: "web"})
	one, two := l.connect(t, on(t, "one", "web", "8080:80/tcp")), l.connect(t, on(t, "two", id[:12]))
	serve(t, one.Key, ":80", "one")
	e := one.Endpoints["web"]
	if e.IPAddress.String() != "172.18.0.2" || e.IPPrefixLen != 22 || e.NetworkID != id || !reflect.DeepEqual(e.DNSNames, []string{"one", "one012345678"}) {
		t.Errorf("%+v", e)
	}
	for _, c := range [][2]string{
		{two.Key, e.IPAddress.String() + ":80"}, {"", "127.0.0.1:8080"}, {neighbourKey, hostAddress + ":8080"}, {two.Key, hostAddress + ":8080"},
	} {
		if who, _, err := ask(t, c[0], c[1]); who != "one" {
			t.Errorf("%s: %q, %v", c[1], who, err)
		}
	}
	found, err := l.Inspect(t.Context(), "web")
	if err != nil || found.Name != "web" || len(found.Containers) != 2 || found.Containers["one0123456789abcdef"].IPv4Address.String() != "172.18.0.2/22" {
		t.Errorf("%+v, %v", found, err)
	}
	if s := found.Status.IPAM.Subnets[netip.MustParsePrefix("172.18.0.0/22")]; s.IPsInUse != 5 || s.DynamicIPsAvailable != 1019 {
		t.Errorf("%+v", found.Status)
	}
	err = l.Remove(t.Context(), "web")
	if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "network web has active endpoints (name:\"one\"") {
		t.Error(err)
	}
	l.disconnect(t, "one0123456789abcdef")
	l.disconnect(t, "two0123456789abcdef")
	if err := l.Remove(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Inspect(t.Context(), "web"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func yes() *bool { b := true; return &b }
func no() *bool  { return new(bool) }

func TestBothFamilies(t *testing.T) {
	l := newLab(t)
	l.make(t, network.CreateRequest{Name: "both", EnableIPv6: yes()})
	l.make(t, network.CreateRequest{Name: "six", EnableIPv4: no(), EnableIPv6: yes(), IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("fd00:77::/64")}}}})
	l.make(t, network.CreateRequest{Name: "four"})
	one, two := l.connect(t, on(t, "one", "both")), l.connect(t, on(t, "two", "both"))
	e := one.Endpoints["both"]
	if !e.GlobalIPv6Address.Is6() || e.GlobalIPv6PrefixLen != 64 || !e.IPv6Gateway.Is6() || !e.IPAddress.Is4() {
		t.Fatalf("%+v", e)
	}
	serve(t, one.Key, "[::]:80", "one")
	for _, address := range []string{"[" + e.GlobalIPv6Address.String() + "]:80", e.IPAddress.String() + ":80"} {
		for _, key := range []string{two.Key, ""} {
			if who, _, err := ask(t, key, address); who != "one" {
				t.Errorf("%s: %q, %v", address, who, err)
			}
		}
	}
	six := l.connect(t, on(t, "six", "six"))
	if e := six.Endpoints["six"]; e.IPAddress.IsValid() || e.GlobalIPv6Address.String() != "fd00:77::2" || len(e.MacAddress) != 6 {
		t.Errorf("%+v", e)
	}
	four := l.connect(t, on(t, "four", "four"))
	err := in(t, four.Key, func() error { // IPv6 off means off
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		addrs, err := eth0.Addrs()
		if err == nil && len(addrs) != 1 {
			err = fmt.Errorf("%v", addrs)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, id := range []string{"one", "two", "six", "four"} {
		l.disconnect(t, id+"0123456789abcdef")
	}
}

// TestNetworksAreApartInIPv6: a host that forwards IPv6 is no way from one network to another, nor out of an internal one.
func TestNetworksAreApartInIPv6(t *testing.T) {
	l := newLab(t)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	l.make(t, network.CreateRequest{Name: "a", EnableIPv6: yes()})
	l.make(t, network.CreateRequest{Name: "b", EnableIPv6: yes()})
	l.make(t, network.CreateRequest{Name: "inner", EnableIPv6: yes(), Internal: true})
	one, friend, stranger, inner := l.connect(t, on(t, "one", "a")), l.connect(t, on(t, "friend", "a")), l.connect(t, on(t, "stranger", "b")), l.connect(t, on(t, "inner", "inner"))
	serve(t, one.Key, "[::]:80", "one")
	serve(t, inner.Key, "[::]:80", "inner")
	toOne := "[" + one.Endpoints["a"].GlobalIPv6Address.String() + "]:80"
	toInner := "[" + inner.Endpoints["inner"].GlobalIPv6Address.String() + "]:80"
	if who, _, err := ask(t, friend.Key, toOne); who != "one" {
		t.Errorf("the same network: %q, %v", who, err)
	}
	patience := func(d *net.Dialer) { d.Timeout = 2500 * time.Millisecond } // neighbours are looked for again after a second
	for _, way := range []struct{ from, to string }{{stranger.Key, toOne}, {stranger.Key, toInner}, {inner.Key, toOne}} {
		if who, _, err := ask(t, way.from, way.to, patience); err == nil {
			t.Errorf("%s was reached from another network: %q", way.to, who)
		}
	}
	for _, id := range []string{"one", "friend", "stranger", "inner"} {
		l.disconnect(t, id+"0123456789abcdef")
	}
}

// routes lists the default routes in a namespace as "family interface".
func routes(t *testing.T, key string) (out []string) {
	t.Helper()
	err := in(t, key, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			all, err := h.RouteList(nil, family)
			if err != nil {
				return err
			}
			for _, r := range all {
				if ones := 0; r.Dst != nil {
					if ones, _ = r.Dst.Mask.Size(); ones > 0 {
						continue
					}
				}
				link, err := h.LinkByIndex(r.LinkIndex)
				if err != nil {
					return err
				}
				out = append(out, fmt.Sprint(map[int]int{unix.AF_INET: 4, unix.AF_INET6: 6}[family], " ", link.Attrs().Name, " ", r.Gw))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWayOutOfSeveralNetworks(t *testing.T) {
	l := newLab(t)
	for i, name := range []string{"a", "b", "c"} {
		l.make(t, network.CreateRequest{Name: name, Internal: name == "c", IPAM: &network.IPAM{Config: []network.IPAMConfig{{
			Subnet: netip.MustParsePrefix(fmt.Sprintf("10.6.%d.0/24", i)),
		}}}})
	}
	r := on(t, "one", "b", "8080:80/tcp")
	r.Endpoints = map[string]*network.EndpointSettings{"b": {}, "c": {GwPriority: 5}}
	sb := l.connect(t, r)
	serve(t, sb.Key, ":80", "one")
	check := func(want ...string) {
		t.Helper()
		if got := routes(t, sb.Key); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if who, _, err := ask(t, neighbourKey, hostAddress+":8080"); who != "one" {
			t.Errorf("the published port answers %q, %v", who, err)
		}
	}
	check("4 eth0 10.6.1.1") // c leads nowhere
	if _, err := l.Attach(t.Context(), r.ContainerID, "a", nil); err != nil {
		t.Fatal(err)
	}
	check("4 eth2 10.6.0.1") // the first by name
	if _, err := l.Detach(t.Context(), r.ContainerID, "b"); err != nil {
		t.Fatal(err)
	}
	check("4 eth2 10.6.0.1")
	now, err := l.Attach(t.Context(), r.ContainerID, "b", &network.EndpointSettings{GwPriority: 1})
	if err != nil || now.Ports[network.MustParsePort("80/tcp")][0].HostPort != "8080" {
		t.Fatal(now, err)
	}
	check("4 eth0 10.6.1.1")
	if _, err := l.Detach(t.Context(), r.ContainerID, "b"); err != nil {
		t.Fatal(err)
	}
	check("4 eth2 10.6.0.1")
	l.disconnect(t, r.ContainerID)
}

func TestOptionsOfAnEndpoint(t *testing.T) {
	l := newLab(t)
	l.make(t, network.CreateRequest{
		Name: "web", Options: map[string]string{"com.docker.network.container_iface_prefix": "lan", "com.docker.network.driver.mtu": "1280"},
		IPAM: &network.IPAM{Config: []network.IPAMConfig{{
			Subnet: netip.MustParsePrefix("10.7.0.0/16"), IPRange: netip.MustParsePrefix("10.7.5.0/24"), Gateway: netip.MustParseAddr("10.7.0.254"),
			AuxAddress: map[string]netip.Addr{"router": netip.MustParseAddr("10.7.5.0")},
		}}},
	})
	r := on(t, "one", "web")
	r.Endpoints = map[string]*network.EndpointSettings{"web": {
		MacAddress: network.HardwareAddr{2, 1, 1, 1, 1, 1}, DriverOpts: map[string]string{
			"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.neigh.ifname.mcast_solicit=7",
		},
		IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.7.9.9"), LinkLocalIPs: []netip.Addr{netip.MustParseAddr("169.254.3.4")}},
	}}
	one := l.connect(t, r)
	two := on(t, "two", "web")
	two.Endpoints = map[string]*network.EndpointSettings{"web": {DriverOpts: map[string]string{"com.docker.network.endpoint.ifname": "uplink"}}}
	second := l.connect(t, two)
	if a := second.Endpoints["web"].IPAddress.String(); a != "10.7.5.1" {
		t.Errorf("%s is not the first of the range", a)
	}
	err := in(t, one.Key, func() error {
		i, err := net.InterfaceByName("lan0")
		if err != nil {
			return err
		}
		addrs, err := i.Addrs()
		if err != nil || i.MTU != 1280 || i.HardwareAddr.String() != "02:01:01:01:01:01" || fmt.Sprint(addrs) != "[10.7.9.9/16 169.254.3.4/16]" {
			return fmt.Errorf("%+v %v %w", i, addrs, err)
		}
		for path, want := range map[string]string{"conf/lan0/log_martians": "1", "neigh/lan0/mcast_solicit": "7"} {
			if got, err := os.ReadFile("/proc/sys/net/ipv4/" + path); err != nil || strings.TrimSpace(string(got)) != want {
				return fmt.Errorf("%s is %s, %w", path, got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := in(t, second.Key, func() error { _, err := net.InterfaceByName("uplink"); return err }); err != nil {
		t.Error(err)
	}
	if got := routes(t, second.Key); !reflect.DeepEqual(got, []string{"4 uplink 10.7.0.254"}) {
		t.Error(got)
	}
	third := on(t, "three", "web")
	third.Endpoints = map[string]*network.EndpointSettings{"web": {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.7.9.9")}}}
	if _, err := l.Connect(t.Context(), third); !errdefs.IsPermissionDenied(err) || err.Error() != "Address already in use" {
		t.Error(err)
	}
	for _, e := range []*network.EndpointSettings{
		{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.8.0.1")}},
		{IPAMConfig: &network.EndpointIPAMConfig{IPv6Address: netip.MustParseAddr("fd00::1")}},
		{IPAMConfig: &network.EndpointIPAMConfig{LinkLocalIPs: []netip.Addr{netip.MustParseAddr("10.7.0.9")}}},
		{DriverOpts: map[string]string{"com.docker.network.endpoint.sysctls": "net.ipv4.ip_forward=1"}},
		{DriverOpts: map[string]string{"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME./../../../kernel/core_pattern=x"}},
		{DriverOpts: map[string]string{"com.docker.network.endpoint.ifname": "../x"}},
	} {
		third.Endpoints["web"] = e
		if err := l.Check(t.Context(), third); !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), "invalid config for network web: invalid endpoint settings:\n") {
			t.Errorf("%+v: %v", e, err)
		}
	}
	l.disconnect(t, r.ContainerID)
	l.disconnect(t, two.ContainerID)
}

func TestRefusedNetworks(t *testing.T) {
	l := newLab(t)
	l.make(t, network.CreateRequest{Name: "web", IPAM: config("10.20.0.0/24")})
	for want, req := range map[string]network.CreateRequest{
		"invalid name: name is empty":                                                     {},
		"operation is not permitted on predefined bridge network ":                        {Name: "bridge"},
		"network with name web already exists":                                            {Name: "web"},
		`plugin "nosuch" not found`:                                                       {Name: "x", Driver: "nosuch"},
		`only one instance of "host" network is allowed`:                                  {Name: "x", Driver: "host"},
		"IPv4 or IPv6 must be enabled":                                                    {Name: "x", EnableIPv4: no()},
		"invalid pool request: Pool overlaps with other one on this address space":        {Name: "x", IPAM: config("10.20.0.128/25")},
		"bridge driver doesn't support multiple subnets":                                  {Name: "x", IPAM: config("10.30.0.0/24", "10.31.0.0/24")},
		"invalid network config:\ninvalid subnet 10.30.0.1/24: it should be 10.30.0.0/24": {Name: "x", IPAM: config("10.30.0.1/24")},
		"unknown gateway mode open":                                                       {Name: "x", Options: map[string]string{"com.docker.network.bridge.gateway_mode_ipv4": "open"}},
		`configuration network "nosuch" does not exist`:                                   {Name: "x", ConfigFrom: &network.ConfigReference{Network: "nosuch"}},
		"invalid network config:\ninvalid gateway 10.9.0.1: parent subnet 10.30.0.0/24 doesn't contain this address": {Name: "x", IPAM: &network.IPAM{Config: []network.IPAMConfig{{
			Subnet: netip.MustParsePrefix("10.30.0.0/24"), Gateway: netip.MustParseAddr("10.9.0.1"),
		}}}},
		"invalid network config:\ninvalid ip-range 10.30.0.0/16: CIDR block is bigger than its parent subnet 10.30.0.0/24": {Name: "x", IPAM: &network.IPAM{Config: []network.IPAMConfig{{
			Subnet: netip.MustParsePrefix("10.30.0.0/24"), IPRange: netip.MustParsePrefix("10.30.0.0/16"),
		}}}},
	} {
		if _, err := l.Create(t.Context(), req); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := l.Remove(t.Context(), "host"); !errdefs.IsPermissionDenied(err) || err.Error() != "host is a pre-defined network and cannot be removed" {
		t.Error(err)
	}
	if all, err := l.List(t.Context(), nil); err != nil || len(all) != 4 {
		t.Errorf("%+v, %v", all, err)
	}
}

func config(subnets ...string) *network.IPAM {
	out := &network.IPAM{}
	for _, s := range subnets {
		out.Config = append(out.Config, network.IPAMConfig{Subnet: netip.MustParsePrefix(s)})
	}
	return out
}

func TestConfigurationNetwork(t *testing.T) {
	l := newLab(t)
	l.make(t, network.CreateRequest{Name: "settings", ConfigOnly: true, IPAM: config("10.40.0.0/24"), Labels: map[string]string{"a": "b"}})
	l.make(t, network.CreateRequest{Name: "web", ConfigFrom: &network.ConfigReference{Network: "settings"}})
	found, err := l.Inspect(t.Context(), "web")
	if err != nil || found.IPAM.Config[0].Subnet.String() != "10.40.0.0/24" || found.ConfigFrom.Network != "settings" || found.Labels["a"] != "b" {
		t.Errorf("%+v, %v", found, err)
	}
	if err := l.Remove(t.Context(), "settings"); !errdefs.IsPermissionDenied(err) {
		t.Error(err)
	}
	if _, err := l.Connect(t.Context(), on(t, "one", "settings")); !errdefs.IsPermissionDenied(err) {
		t.Error(err)
	}
}

func TestPoolsAreCutAndGivenBack(t *testing.T) {
	l := newLab(t, func(c *Config) {
		c.Pools = []Pool{{netip.MustParsePrefix("10.50.0.0/24"), 26}, {netip.MustParsePrefix("fd50::/62"), 64}}
		c.BridgeIP = netip.MustParsePrefix("10.50.0.1/26")
	})
	for i, want := range []string{"10.50.0.64/26", "10.50.0.128/26", "10.50.0.192/26"} {
		l.make(t, network.CreateRequest{Name: fmt.Sprint("net", i), EnableIPv6: yes()})
		found, err := l.Inspect(t.Context(), fmt.Sprint("net", i))
		if err != nil || found.IPAM.Config[0].Subnet.String() != want || found.IPAM.Config[1].Subnet.Bits() != 64 {
			t.Errorf("%+v, %v", found, err)
		}
	}
	_, err := l.Create(t.Context(), network.CreateRequest{Name: "more"})
	if !errdefs.IsInvalidArgument(err) || err.Error() != "all predefined address pools have been fully subnetted" {
		t.Error(err)
	}
	if err := l.Remove(t.Context(), "net1"); err != nil {
		t.Fatal(err)
	}
	l.make(t, network.CreateRequest{Name: "half", IPAM: config("0.0.0.0/27")})
	if found, err := l.Inspect(t.Context(), "half"); err != nil || found.IPAM.Config[0].Subnet.String() != "10.50.0.128/27" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestUsersBridgeMustBeThere(t *testing.T) {
	_, err := Open(t.Context(), Config{Root: t.TempDir(), ExecRoot: t.TempDir(), Bridge: "nosuch0"})
	if err == nil || !strings.Contains(err.Error(), "bridge device with non default name nosuch0 must be created manually") {
		t.Fatal(err)
	}
}

// TestCycles connects and disconnects, on both sides of a network's life, and looks whether anything is left: go test -long makes ten
// thousand cycles of it.
func TestCycles(t *testing.T) {
	cycles := 100
	if *long {
		cycles = 10_000
	}
	l := newLab(t)
	l.make(t, network.CreateRequest{Name: "web", EnableIPv6: yes()})
	keys, veths, rules := l.left(t)
	slots := make(chan struct{}, 20)
	var all sync.WaitGroup
	for i := range cycles {
		slots <- struct{}{}
		r := on(t, fmt.Sprint("c", i), "web", ":80/tcp")
		r.Dir = ""
		all.Go(func() {
			defer func() { <-slots }()
			if _, err := l.Connect(context.Background(), r); err != nil {
				t.Error(err)
			}
			if i%2 == 0 {
				if _, err := l.Attach(context.Background(), r.ContainerID, "bridge", nil); err != nil {
					t.Error(err)
				}
			}
			if err := l.Disconnect(context.Background(), r.ContainerID); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	l.background.Wait()
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	links, err := sandbox.Dump(host.LinkList)
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if strings.HasPrefix(link.Attrs().Name, "veth") {
			t.Errorf("interface %s is left", link.Attrs().Name)
		}
	}
	if k, v, r := l.left(t); len(k) != len(keys) || len(v) != len(veths) || r != rules {
		t.Errorf("sandboxes %v, interfaces %v, rules %s", k, v, r)
	}
	for _, name := range []string{"web", "bridge"} {
		found, err := l.Inspect(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for prefix, s := range found.Status.IPAM.Subnets {
			if want := uint64(3); s.IPsInUse != want && prefix.Addr().Is4() || s.IPsInUse != 2 && prefix.Addr().Is6() {
				t.Errorf("%s: %+v", prefix, s)
			}
		}
	}
}

func TestNetworkEvents(t *testing.T) {
	journal, err := events.Open(t.Context(), events.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, func(c *Config) { c.Events = journal })
	id := l.make(t, network.CreateRequest{Name: "web"})
	r := request(t, "one")
	l.connect(t, r)
	if _, err := l.Attach(t.Context(), "one", "web", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Detach(t.Context(), "one", "web"); err != nil {
		t.Fatal(err)
	}
	l.disconnect(t, "one")
	if err := l.Remove(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	var got []string
	all, err := journal.Subscribe(t.Context(), events.Query{Since: time.Now().Add(-time.Minute), Until: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		if m.Actor.ID == id {
			got = append(got, string(m.Action)+" "+m.Actor.Attributes["container"]+" "+m.Actor.Attributes["name"]+" "+m.Actor.Attributes["type"])
		}
	}
	if want := []string{"create  web bridge", "connect one web bridge", "disconnect one web bridge", "destroy  web bridge"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
