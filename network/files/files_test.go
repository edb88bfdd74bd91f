package files

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func written(t *testing.T, c Content) (hostname, hosts, resolv string) {
	t.Helper()
	dir := t.TempDir()
	if err := Write(dir, c); err != nil {
		t.Fatal(err)
	}
	var all [3]string
	for i, name := range []string{"hostname", "hosts", "resolv.conf"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
		all[i] = string(data)
	}
	return all[0], all[1], all[2]
}

func TestFilesOfAContainer(t *testing.T) {
	hostname, hosts, resolv := written(t, Content{
		Hostname: "web", Domainname: "example.com", Address: netip.MustParseAddr("172.17.0.2"),
		Hosts:    []string{"db:10.0.0.1", "six:fe80::1", "gw:host-gateway"},
		Gateways: []netip.Addr{netip.MustParseAddr("172.17.0.1")},
		DNS:      []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Search: []string{"a.example", "b.example"}, Options: []string{"ndots:2"},
	})
	if hostname != "web\n" {
		t.Errorf("%q", hostname)
	}
	want := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n" +
		"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n" +
		"10.0.0.1\tdb\nfe80::1\tsix\n172.17.0.1\tgw\n172.17.0.2\tweb.example.com web\n"
	if hosts != want {
		t.Errorf("%s", hosts)
	}
	if resolv != "nameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:2\n" {
		t.Errorf("%s", resolv)
	}
}

// What a container has made of its files is undone when it starts again; the rest is left alone.
func TestFilesAreWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	c := Content{Hostname: "web", Address: netip.MustParseAddr("172.17.0.2")}
	if err := Write(dir, c); err != nil {
		t.Fatal(err)
	}
	hosts, resolv, hostname := filepath.Join(dir, "hosts"), filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "hostname")
	before, err := os.Stat(hostname)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(hosts)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(hosts, bytes.Repeat([]byte("x"), len(want)), 0), os.Chmod(resolv, 0)); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, c); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(hosts); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if info, err := os.Stat(resolv); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
	if after, err := os.Stat(hostname); err != nil || !os.SameFile(before, after) {
		t.Errorf("%v was replaced, %v", after, err)
	}
}

func TestSearchOfNothing(t *testing.T) {
	_, _, resolv := written(t, Content{Search: []string{"."}, DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")}})
	if strings.Contains(resolv, "search") {
		t.Error(resolv)
	}
}

func TestContainerNeverAsksTheHostsLoopback(t *testing.T) {
	_, _, resolv := written(t, Content{})
	r := parseResolver([]byte(resolv))
	if len(r.servers) == 0 || slices.ContainsFunc(r.servers, netip.Addr.IsLoopback) {
		t.Error(resolv)
	}
}

func TestHostsFilesGoOnInTheHostsNetwork(t *testing.T) {
	_, hosts, resolv := written(t, Content{FromHost: true, Hosts: []string{"db:10.0.0.1"}})
	own, err := os.ReadFile(hostHosts)
	if err != nil {
		t.Skip("the host has no hosts file")
	}
	if !strings.HasPrefix(hosts, strings.TrimSuffix(string(own), "\n")) || !strings.HasSuffix(hosts, "10.0.0.1\tdb\n") {
		t.Error(hosts)
	}
	if own, err := os.ReadFile(hostResolv); err == nil && resolv != string(own) {
		t.Error(resolv)
	}
}

func TestBadHostsAreRefused(t *testing.T) {
	for _, bad := range []string{"db", ":10.0.0.1", "db:nowhere", "gw:host-gateway"} {
		if err := Write(t.TempDir(), Content{Hosts: []string{bad}}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseResolver(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\nsearch a b\noptions edns0 trust-ad\n# comment\ndomain c"))
	f.Add([]byte("nameserver fe80::1%eth0\nnameserver\nsearch"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := parseResolver(data)
		again := parseResolver(r.bytes())
		if !slices.Equal(r.servers, again.servers) || !slices.Equal(r.options, again.options) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}
