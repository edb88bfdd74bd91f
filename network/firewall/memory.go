package firewall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// Memory is a firewall without a kernel, for tests: it is as strict as NFTables, and filters nothing.
type Memory struct {
	mu    sync.Mutex // guards what follows
	set   bool
	ports map[place]netip.AddrPort
}

type place struct {
	protocol string
	host     netip.AddrPort
}

// Set implements Firewall.
func (m *Memory) Set(_ context.Context, d Desired) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set, m.ports = true, map[place]netip.AddrPort{}
	return m.add(d.Ports)
}

// Add implements Firewall.
func (m *Memory) Add(_ context.Context, ports []Port) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(ports) == 0 {
		return nil
	}
	if !m.set {
		return errors.New("no rules")
	}
	before := maps.Clone(m.ports)
	err := m.add(ports)
	if err != nil {
		m.ports = before
	}
	return err
}

func (m *Memory) add(ports []Port) error {
	for _, p := range ports {
		k := place{p.Protocol, p.Host}
		if to, ok := m.ports[k]; ok && to != p.To {
			return fmt.Errorf("%s leads to %s", p.Host, to)
		}
		m.ports[k] = p.To
	}
	return nil
}

// Remove implements Firewall.
func (m *Memory) Remove(_ context.Context, ports []Port) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range ports {
		if _, ok := m.ports[place{p.Protocol, p.Host}]; !ok {
			return fmt.Errorf("%s is not published", p.Host)
		}
	}
	for _, p := range ports {
		delete(m.ports, place{p.Protocol, p.Host})
	}
	return nil
}

// Published implements Firewall.
func (m *Memory) Published(context.Context) ([]Port, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Port
	for k, to := range m.ports {
		out = append(out, Port{Protocol: k.protocol, Host: k.host, To: to})
	}
	slices.SortFunc(out, func(a, b Port) int { return a.Host.Compare(b.Host) })
	return out, nil
}

// Flush is somebody else who removes all rules.
func (m *Memory) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set, m.ports = false, nil
}
