package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gantry/network/apart"

	"github.com/google/nftables"
)

// TestMain runs the tests on a host of their own.
func TestMain(m *testing.M) { apart.Main(m, apart.Nothing) }

func port(protocol, host, to string) Port {
	return Port{Protocol: protocol, Host: netip.MustParseAddrPort(host), To: netip.MustParseAddrPort(to)}
}

func bridge(name, address string) Bridge {
	p := netip.MustParsePrefix(address)
	return Bridge{Name: name, IPv4: Family{Subnet: p.Masked(), Gateway: p.Addr(), Masquerade: true}}
}

// firewalls are the implementations, with how somebody else flushes each.
func firewalls() map[string]struct {
	Firewall
	flush func() error
} {
	memory := &Memory{}
	return map[string]struct {
		Firewall
		flush func() error
	}{
		"nftables": {&NFTables{}, func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			c.FlushRuleset()
			return c.Flush()
		}},
		"memory": {memory, func() error { memory.Flush(); return nil }},
	}
}

func published(t *testing.T, f Firewall) string {
	t.Helper()
	all, err := f.Published(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range all {
		out = append(out, fmt.Sprintf("%s %s>%s", p.Protocol, p.Host, p.To))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestFirewallPublishes(t *testing.T) {
	for name, f := range firewalls() {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			web, dns := port("tcp", "0.0.0.0:80", "172.17.0.2:8080"), port("udp", "127.0.0.1:53", "172.17.0.3:53")
			if err := f.Add(ctx, []Port{web}); err == nil {
				t.Error("a port was added to no rules")
			}
			if got := published(t, f); got != "" {
				t.Error(got)
			}
			d := Desired{Bridges: []Bridge{bridge("a0", "172.17.0.1/16"), bridge("b0", "172.18.0.1/16")}, Ports: []Port{web}}
			for range 2 {
				if err := f.Set(ctx, d); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Add(ctx, []Port{dns, port("sctp", "0.0.0.0:80", "172.17.0.4:80")}); err != nil {
				t.Fatal(err)
			}
			if got := published(t, f); got != "sctp 0.0.0.0:80>172.17.0.4:80, tcp 0.0.0.0:80>172.17.0.2:8080, udp 127.0.0.1:53>172.17.0.3:53" {
				t.Error(got)
			}
			if err := f.Add(ctx, []Port{port("tcp", "0.0.0.0:81", "172.17.0.9:1"), port("tcp", "0.0.0.0:80", "172.17.0.9:1")}); err == nil {
				t.Error("a port leads to two containers")
			}
			if err := f.Remove(ctx, []Port{web}); err != nil {
				t.Fatal(err)
			}
			if err := f.Remove(ctx, []Port{web}); err == nil {
				t.Error("a port was removed twice")
			}
			if got := published(t, f); got != "sctp 0.0.0.0:80>172.17.0.4:80, udp 127.0.0.1:53>172.17.0.3:53" {
				t.Error(got)
			}
			if err := f.flush(); err != nil {
				t.Fatal(err)
			}
			if err := f.Remove(ctx, []Port{dns}); err == nil {
				t.Error("a port was removed from no rules")
			}
			if err := f.Set(ctx, Desired{}); err != nil {
				t.Fatal(err)
			}
			if got := published(t, f); got != "" {
				t.Error(got)
			}
		})
	}
}

func TestManyPortsAreOneChange(t *testing.T) {
	var all []Port
	for n := range uint16(5000) {
		all = append(all, Port{
			Protocol: "tcp", Host: netip.AddrPortFrom(netip.IPv4Unspecified(), 10000+n),
			To: netip.MustParseAddrPort("172.17.0.2:80"),
		})
	}
	f := &NFTables{}
	if err := f.Set(t.Context(), Desired{}); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	got, err := f.Published(t.Context())
	if err != nil || len(got) != len(all) {
		t.Fatal(len(got), err)
	}
	if err := f.Remove(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func TestForeignTablesAreNotTouched(t *testing.T) {
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "theirs"})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := (&NFTables{}).Set(t.Context(), Desired{}); err != nil {
		t.Fatal(err)
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil || !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == "theirs" }) {
		t.Fatal(tables, err)
	}
}
