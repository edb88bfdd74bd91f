// Package ports reserves ports of the host for containers.
//
// A wish is what the user asked for. A binding is the answer: a port at an address of the host, held by a socket, so that no
// other process can have it. Connections do not normally reach that socket, for the firewall leads them to the
// container; those that it cannot lead there are forwarded in this process.
package ports

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"gantry/network/firewall"

	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// The ports that are chosen from when the user does not choose: ip_local_port_range of Linux, as dockerd.
const firstEphemeral, lastEphemeral = 32768, 60999

// Wish is one binding that is asked for.
type Wish struct {
	Container network.Port
	Hosts     []netip.Addr // one port at all of them
	First     uint16       // 0 for any
	Last      uint16
}

// Binding is a port of the host that leads to a container.
type Binding struct {
	firewall.Port
	socket *socket // nil if a process has the port, see Keep
}

// Allocator knows which container has which port. Safe for concurrent use.
type Allocator struct {
	proxy bool // forward IPv4 connections as well

	mu   sync.Mutex // guards what follows
	held map[key]map[netip.Addr]struct{}
	next uint16
}

type key struct {
	protocol string
	port     uint16
}

// New returns an allocator. With proxy, what reaches an IPv4 socket is forwarded too, which is for hosts whose firewall is
// not ours.
func New(proxy bool) *Allocator {
	return &Allocator{proxy: proxy, held: map[key]map[netip.Addr]struct{}{}, next: firstEphemeral}
}

// Bind reserves a port at all addresses of the wish. Nothing is held when it fails.
// Errors, in dockerd's words: "Bind for 0.0.0.0:80 failed: port is already allocated" (another container has it),
// "failed to bind host port for 0.0.0.0:80:172.17.0.2:80/tcp: address already in use" (a process has it).
func (a *Allocator) Bind(ctx context.Context, w Wish, to netip.Addr) ([]*Binding, error) {
	first, last, tries := w.First, w.Last, int(w.Last)-int(w.First)+1
	if first == 0 {
		first, last, tries = a.ephemeral(), lastEphemeral, lastEphemeral-firstEphemeral+1
	}
	var failure error
	for port := first; tries > 0; tries-- {
		bound, err := a.bindAll(ctx, w, port, to)
		if err == nil {
			return bound, nil
		}
		failure = err
		if !errors.Is(err, unix.EADDRINUSE) && !errors.As(err, new(allocatedError)) {
			return nil, err
		}
		if port++; port > last || port == 0 {
			port = firstEphemeral // reached in the search for any port only
		}
	}
	if w.First != w.Last || w.First == 0 {
		return nil, fmt.Errorf("all ports are allocated: %w", failure)
	}
	return nil, failure
}

// ephemeral is where the search for any port begins; it moves on, so that a port is not soon used again.
func (a *Allocator) ephemeral() uint16 {
	a.mu.Lock()
	defer a.mu.Unlock()
	port := a.next
	if a.next++; a.next > lastEphemeral {
		a.next = firstEphemeral
	}
	return port
}

func (a *Allocator) bindAll(ctx context.Context, w Wish, port uint16, to netip.Addr) ([]*Binding, error) {
	var bound []*Binding
	for _, host := range w.Hosts {
		b, err := a.bind(ctx, firewall.Port{
			Protocol: string(w.Container.Proto()),
			Host:     netip.AddrPortFrom(host, port),
			To:       netip.AddrPortFrom(to, w.Container.Num()),
		})
		if err != nil {
			return nil, errors.Join(err, a.Release(bound))
		}
		bound = append(bound, b)
	}
	return bound, nil
}

func (a *Allocator) bind(ctx context.Context, p firewall.Port) (*Binding, error) {
	if err := a.hold(p); err != nil {
		return nil, err
	}
	s, err := reserve(ctx, p, a.proxy || p.Host.Addr().Is6())
	if err != nil {
		a.drop(p)
		return nil, fmt.Errorf("failed to bind host port for %s:%s/%s: %w", p.Host, p.To, p.Protocol, err)
	}
	return &Binding{Port: p, socket: s}, nil
}

// Keep is Bind for a fixed port that some process has taken while the rule that leads it to the container went on: without
// a socket. What another container has is left out.
func (a *Allocator) Keep(w Wish, to netip.Addr) []*Binding {
	var kept []*Binding
	for _, host := range w.Hosts {
		p := firewall.Port{
			Protocol: string(w.Container.Proto()),
			Host:     netip.AddrPortFrom(host, w.First),
			To:       netip.AddrPortFrom(to, w.Container.Num()),
		}
		if a.hold(p) == nil {
			kept = append(kept, &Binding{Port: p})
		}
	}
	return kept
}

// Held reports whether a container has the port.
func (a *Allocator) Held(p firewall.Port) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.held[key{p.Protocol, p.Host.Port()}][p.Host.Addr()]
	return ok
}

// Release gives bindings back: their ports are free when it returns.
func (a *Allocator) Release(all []*Binding) error {
	var errs []error
	for _, b := range all {
		if b.socket != nil {
			errs = append(errs, b.socket.close())
		}
		a.drop(b.Port)
	}
	return errors.Join(errs...)
}

type allocatedError struct{ host netip.AddrPort }

func (e allocatedError) Error() string {
	return "Bind for " + e.host.String() + " failed: port is already allocated"
}

func (a *Allocator) hold(p firewall.Port) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := key{p.Protocol, p.Host.Port()}
	for other := range a.held[k] {
		if other.Is4() == p.Host.Addr().Is4() && (other == p.Host.Addr() || other.IsUnspecified() || p.Host.Addr().IsUnspecified()) {
			return allocatedError{p.Host}
		}
	}
	if a.held[k] == nil {
		a.held[k] = map[netip.Addr]struct{}{}
	}
	a.held[k][p.Host.Addr()] = struct{}{}
	return nil
}

func (a *Allocator) drop(p firewall.Port) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := key{p.Protocol, p.Host.Port()}
	delete(a.held[k], p.Host.Addr())
	if len(a.held[k]) == 0 {
		delete(a.held, k)
	}
}
