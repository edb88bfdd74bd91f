package network

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
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
