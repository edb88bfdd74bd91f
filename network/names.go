package network

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"gantry/network/dns"
)

// names are what a container is called in each of its networks, beside its aliases there: its name, its short ID, and its host name.
func (r Request) names() []string {
	return []string{r.Name, r.ContainerID[:min(12, len(r.ContainerID))], r.Hostname}
}

// dnsNames puts the aliases behind the name, as dockerd shows them.
func dnsNames(names, aliases []string) []string {
	out := []string{}
	for _, n := range slices.Concat(names[:1], aliases, names[1:]) {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// namer tells resolvers and files of containers who else is there.
type namer struct {
	*state
	resolving  sync.Mutex      // one change of the resolvers at a time, in the order of the changes
	unresolved map[string]bool // IDs of containers whose resolvers are out of date; guarded by mu
}

// Table is what the resolver of a container's sandbox answers; ok is false for a container that has none.
func (s *namer) Table(containerID string) (t dns.Table, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.connected[containerID]
	if c == nil || !c.made {
		return dns.Table{}, false
	}
	return s.table(c)
}

// table is Table for who holds mu.
func (s *namer) table(c *connection) (dns.Table, bool) {
	t := dns.Table{Sandbox: c.sandboxID}
	for _, e := range byPriority(c.endpoints) {
		if e.lan.named() {
			t.Networks = append(t.Networks, s.namesIn(e))
		}
	}
	r := &c.request
	t.Search, t.Options = orDefault(r.DNSSearch, s.cfg.DNSSearch), orDefault(r.DNSOption, s.cfg.DNSOptions)
	for _, a := range orDefault(r.DNS, s.cfg.DNS) {
		t.Upstream = append(t.Upstream, netip.AddrPortFrom(a, 53))
	}
	return t, len(t.Networks) > 0 && c.key != ""
}

func orDefault[T any](own, daemon []T) []T {
	if len(own) > 0 {
		return own
	}
	return daemon
}

// byPriority puts the endpoint that is the way out first.
func byPriority(all []*endpoint) []*endpoint {
	return slices.SortedStableFunc(slices.Values(all), func(a, b *endpoint) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
}

// namesIn lists the names in the network of an endpoint, as its container sees them: its links are there for it alone.
func (s *namer) namesIn(of *endpoint) dns.Network {
	n := dns.Network{
		Name: of.lan.record.Name, Internal: of.lan.record.Internal,
		Records: map[string][]netip.Addr{}, Names: map[netip.Addr]string{},
	}
	for _, c := range s.connected {
		e := c.in(of.lan)
		if e == nil || !c.made {
			continue
		}
		addrs := e.addresses()
		for _, name := range e.settings.DNSNames {
			add(n.Records, name, addrs)
		}
		for _, a := range addrs {
			n.Names[a] = e.settings.DNSNames[0]
		}
		for _, link := range of.settings.Links {
			to, alias, ok := strings.Cut(link, ":")
			if !ok {
				alias = to
			}
			if to == c.name || to == c.id || len(to) >= 12 && strings.HasPrefix(c.id, to) {
				add(n.Records, alias, addrs)
			}
		}
	}
	return n
}

func add(records map[string][]netip.Addr, name string, addrs []netip.Addr) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, a := range addrs {
		if !slices.Contains(records[name], a) {
			records[name] = append(records[name], a)
		}
	}
}

func (e *endpoint) addresses() []netip.Addr {
	var out []netip.Addr
	for _, a := range []netip.Addr{e.settings.IPAddress, e.settings.GlobalIPv6Address} {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// resolveNames brings the resolvers of all containers in the networks of these endpoints up to date. Those who come while others
// are at it share the work: each table is made once for all that has changed.
func (s *namer) resolveNames(ctx context.Context, changed ...*endpoint) error {
	if _, none := s.cfg.Resolver.(noResolver); none {
		return nil
	}
	s.mu.Lock()
	for _, c := range s.connected {
		for _, e := range changed {
			if c.made && e.lan.named() && c.in(e.lan) != nil {
				s.unresolved[c.id] = true
			}
		}
	}
	s.mu.Unlock()
	s.resolving.Lock()
	defer s.resolving.Unlock()
	type job struct {
		c     connection
		table dns.Table
	}
	var jobs []job
	s.mu.Lock()
	for id := range s.unresolved {
		if c := s.connected[id]; c != nil {
			if t, ok := s.table(c); ok {
				jobs = append(jobs, job{*c, t})
			}
		}
	}
	clear(s.unresolved)
	s.mu.Unlock()
	var errs []error
	for _, j := range jobs {
		errs = append(errs, s.cfg.Resolver.Set(ctx, j.c.sandboxID, j.c.key, j.table))
	}
	return errors.Join(errs...)
}

// unresolve ends the resolver of a sandbox, if it has one.
func (s *namer) unresolve(ctx context.Context, c *connection) error {
	if !slices.ContainsFunc(c.endpoints, func(e *endpoint) bool { return e.lan.named() }) {
		return nil
	}
	return s.cfg.Resolver.Remove(ctx, c.sandboxID)
}
