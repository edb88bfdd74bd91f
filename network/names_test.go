package network

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"gantry/network/dns"

	"github.com/moby/moby/api/types/network"
)

// tables is a resolver that remembers what it was given.
type tables struct {
	mu  sync.Mutex // guards all
	all map[string]dns.Table
}

func (r *tables) Set(_ context.Context, id, _ string, t dns.Table) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[id] = t
	return nil
}

func (r *tables) Remove(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, id)
	return nil
}

func (r *tables) answer(sandbox, net, name string) []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.all[sandbox].Networks {
		if n.Name == net {
			return n.Records[name]
		}
	}
	return nil
}

func TestResolversFollowTheContainers(t *testing.T) {
	r := &tables{all: map[string]dns.Table{}}
	l := newLab(t, func(c *Config) { c.Resolver = r })
	l.make(t, network.CreateRequest{Name: "web", EnableIPv6: yes()})
	l.make(t, network.CreateRequest{Name: "back", Internal: true})
	db := on(t, "db", "web")
	db.Hostname = "pg"
	db.Endpoints = map[string]*network.EndpointSettings{"web": {Aliases: []string{"Primary", "any"}}}
	first := l.connect(t, db)
	api := on(t, "api", "web")
	api.Endpoints = map[string]*network.EndpointSettings{"web": {Links: []string{"db:store"}, Aliases: []string{"any"}}}
	second := l.connect(t, api)
	e := first.Endpoints["web"]
	want := []netip.Addr{e.IPAddress, e.GlobalIPv6Address}
	for _, name := range []string{"db", "primary", "pg", "db0123456789", "store"} {
		if got := r.answer(second.ID, "web", name); !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := r.answer(first.ID, "web", "store"); got != nil {
		t.Errorf("somebody else's link is %v", got)
	}
	if got := r.answer(first.ID, "web", "any"); len(got) != 4 {
		t.Errorf("a shared alias is %v", got)
	}
	if got := r.answer(first.ID, "web", "api"); len(got) != 2 {
		t.Errorf("who came later is %v", got)
	}
	if _, err := l.Attach(t.Context(), db.ContainerID, "back", nil); err != nil {
		t.Fatal(err)
	}
	if table, ok := l.Table(db.ContainerID); !ok || len(table.Networks) != 2 || !slices.ContainsFunc(table.Networks, func(n dns.Network) bool { return n.Internal }) {
		t.Errorf("%+v", table)
	}
	if err := l.Renamed(t.Context(), db.ContainerID, "sql"); err != nil {
		t.Fatal(err)
	}
	if r.answer(second.ID, "web", "db") != nil || !slices.Equal(r.answer(second.ID, "web", "sql"), want) {
		t.Error("the name has not followed")
	}
	bare := l.connect(t, request(t, "bare"))
	l.disconnect(t, db.ContainerID)
	if got := r.answer(second.ID, "web", "sql"); got != nil {
		t.Errorf("who has gone is %v", got)
	}
	r.mu.Lock()
	if _, there := r.all[bare.ID]; there || len(r.all) != 1 {
		t.Errorf("%d resolvers", len(r.all))
	}
	r.mu.Unlock()
	l.disconnect(t, api.ContainerID)
}
