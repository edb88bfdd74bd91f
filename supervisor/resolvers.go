package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"gantry/network/dns"
	"gantry/task/protocol"
)

// resolvers answer the name queries of sandboxes, whether gantryd is there or not.
type resolvers struct {
	mu   sync.Mutex
	open map[string]*dns.Server // by sandbox
}

// set opens a responder or gives it another table, and returns its ports.
func (r *resolvers) set(q protocol.Resolve) (dns.Ports, error) {
	var table dns.Table
	if err := json.Unmarshal(q.Table, &table); err != nil {
		return dns.Ports{}, fmt.Errorf("table of names: %w", err)
	}
	var wanted dns.Ports
	if len(q.Ports) > 0 {
		if err := json.Unmarshal(q.Ports, &wanted); err != nil {
			return dns.Ports{}, fmt.Errorf("ports: %w", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.open[q.Sandbox]; s != nil {
		s.Set(table)
		return s.Ports(), nil
	}
	s, err := dns.Open(q.Netns, table, wanted)
	if err != nil {
		return dns.Ports{}, err
	}
	if r.open == nil {
		r.open = map[string]*dns.Server{}
	}
	r.open[q.Sandbox] = s
	return s.Ports(), nil
}

func (r *resolvers) remove(sandbox string) error {
	r.mu.Lock()
	s := r.open[sandbox]
	delete(r.open, sandbox)
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Close()
}

// retain ends all responders but those of the sandboxes given.
func (r *resolvers) retain(sandboxes []string) error {
	r.mu.Lock()
	var gone []string
	for id := range r.open {
		if !slices.Contains(sandboxes, id) {
			gone = append(gone, id)
		}
	}
	r.mu.Unlock()
	var errs []error
	for _, id := range gone {
		errs = append(errs, r.remove(id))
	}
	return errors.Join(errs...)
}

// close ends all of them.
func (r *resolvers) close() error { return r.retain(nil) }
