// Package resolver gives sandboxes their name service: the responder in the supervisor, and what leads queries to it.
package resolver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"

	"gantry/network/dns"
	"gantry/network/dns/redirect"
)

// Plane is the data plane, where responders live on when this process is gone. Tables and ports are those of package dns, as JSON.
type Plane interface {
	Resolve(ctx context.Context, sandbox, netns string, table json.RawMessage) (ports json.RawMessage, err error)
	Unresolve(ctx context.Context, sandbox string) error
}

// Service implements network.Resolver. Safe for concurrent use.
type Service struct {
	plane func(ctx context.Context) (Plane, error)

	mu   sync.Mutex            // guards open
	open map[string]*responder // by sandbox
}

// responder is what is known of one sandbox's.
type responder struct {
	mu    sync.Mutex // one change at a time
	ports dns.Ports  // where queries are led to; zero before the first Set
}

// New takes a function for the plane, because networks are there before it is.
func New(plane func(ctx context.Context) (Plane, error)) *Service {
	return &Service{plane: plane, open: map[string]*responder{}}
}

// Set implements network.Resolver.
func (s *Service) Set(ctx context.Context, sandbox, netns string, table dns.Table) error {
	plane, err := s.plane(ctx)
	if err != nil {
		return err
	}
	if len(table.Upstream) == 0 {
		table.Upstream = hostServers(ctx, hostConfig)
	}
	data, err := json.Marshal(table)
	if err != nil {
		return err
	}
	r := s.responder(sandbox)
	r.mu.Lock()
	defer r.mu.Unlock()
	answer, err := plane.Resolve(ctx, sandbox, netns, data)
	if err != nil {
		return err
	}
	var ports dns.Ports
	if err := json.Unmarshal(answer, &ports); err != nil {
		return err
	}
	if ports == r.ports {
		return nil
	}
	if err := redirect.Set(netns, ports); err != nil {
		return err
	}
	r.ports = ports
	return nil
}

func (s *Service) responder(sandbox string) *responder {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.open[sandbox]
	if r == nil {
		r = &responder{}
		s.open[sandbox] = r
	}
	return r
}

// Remove implements network.Resolver. The rules go with the namespace.
func (s *Service) Remove(ctx context.Context, sandbox string) error {
	s.mu.Lock()
	delete(s.open, sandbox)
	s.mu.Unlock()
	plane, err := s.plane(ctx)
	if err != nil {
		return err
	}
	return plane.Unresolve(ctx, sandbox)
}

const (
	hostConfig = "/etc/resolv.conf"
	domainPort = 53
)

// hostServers reads the name servers of the host, those on its loopback included: the responder asks them from the host.
func hostServers(ctx context.Context, file string) []netip.AddrPort {
	f, err := os.Open(file)
	if err != nil {
		slog.WarnContext(ctx, "the host's name servers are not known: containers resolve only each other", "error", err)
		return nil
	}
	var servers []netip.AddrPort
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 && fields[0] == "nameserver" {
			if a, err := netip.ParseAddr(fields[1]); err == nil {
				servers = append(servers, netip.AddrPortFrom(a, domainPort))
			}
		}
	}
	if err := errors.Join(lines.Err(), f.Close()); err != nil {
		slog.WarnContext(ctx, "the host's name servers are not known in full", "file", file, "error", err)
	}
	return servers
}
