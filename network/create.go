package network

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"

	"gantry/internal/fault"
	"gantry/internal/undo"
	"gantry/network/store"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// maker makes, lists and removes networks.
type maker struct {
	*state
	rules  *ruler
	making sync.Mutex // networks are made and removed one at a time: they must not overlap
}

// Create makes a network and returns its ID. Nothing is left when it fails. Errors: invalid argument, conflict (the name),
// permission denied (predefined, or it overlaps with another one), not found (driver, configuration).
func (s *maker) Create(ctx context.Context, req network.CreateRequest) (id string, err error) {
	if err := checkName(req.Name); err != nil {
		return "", err
	}
	s.making.Lock()
	defer s.making.Unlock()
	r, err := s.draft(req)
	if err != nil {
		return "", err
	}
	d := s.drivers[r.Driver]
	if r.ConfigOnly {
		d = nil
	} else if r.Given, err = s.cut(&r, d.Traits()); err != nil {
		return "", err
	}
	l, err := newLAN(r, d)
	if err != nil {
		return "", err
	}
	if d != nil {
		if err := d.Check(l.conf); err != nil {
			return "", err
		}
	}
	return r.ID, s.bringUp(context.WithoutCancel(ctx), l)
}

// bringUp makes what has been checked. The host's part comes first: one that is not in the store is removed at the next start.
func (s *maker) bringUp(ctx context.Context, l *lan) (err error) {
	var u undo.Stack
	defer u.OnError(ctx, &err)
	if l.driver != nil {
		u.Push("remove from the host", func(ctx context.Context) error { return l.driver.Remove(ctx, l.conf) })
		if err := l.driver.Create(ctx, l.conf); err != nil {
			return err
		}
	}
	fault.Point("network.create.host")
	l.record.Bridge = forDockerd(l)
	u.Push("forget", func(context.Context) error { return s.store.Delete(l.record.ID) })
	if err := s.store.Put(l.record); err != nil {
		return err
	}
	fault.Point("network.create.record")
	s.mu.Lock()
	s.nets[l.record.ID] = l
	s.mu.Unlock()
	u.Push("take out", func(context.Context) error { s.forget(l); return nil })
	if err := s.rules.changedBridges(ctx, l); err != nil {
		return err
	}
	s.tell(l, events.ActionCreate, nil)
	return nil
}

func (s *maker) forget(l *lan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.nets, l.record.ID)
}

// checkName refuses what cannot be a user's network.
func checkName(name string) error {
	if strings.TrimSpace(name) == "" {
		return errdefs.ErrInvalidArgument.WithMessage("invalid name: name is empty")
	}
	if name != strings.TrimSpace(name) || strings.ContainsAny(name, "/\x00") {
		return errdefs.ErrInvalidArgument.WithMessage("invalid network name: " + name)
	}
	if isDefault(name) || name == network.NetworkDefault {
		return errdefs.ErrPermissionDenied.WithMessage("operation is not permitted on predefined " + name + " network ")
	}
	return nil
}

// draft makes the record of a request; its subnets are still to come.
func (s *maker) draft(req network.CreateRequest) (store.Record, error) {
	r := store.New(req.Name, cmp.Or(req.Driver, "bridge"))
	r.Options, r.Labels = maps.Clone(req.Options), maps.Clone(req.Labels)
	r.Internal, r.Attachable, r.ConfigOnly = req.Internal, req.Attachable, req.ConfigOnly
	r.IPv4 = req.EnableIPv4 == nil || *req.EnableIPv4
	r.IPv6 = req.EnableIPv6 != nil && *req.EnableIPv6
	if req.IPAM != nil {
		r.IPAMDriver, r.IPAMOptions = req.IPAM.Driver, req.IPAM.Options
		for _, c := range req.IPAM.Config {
			r.Asked = append(r.Asked, store.Pool{Subnet: c.Subnet, Range: c.IPRange, Gateway: c.Gateway, Aux: c.AuxAddress})
		}
	}
	if s.nameTaken(req.Name) {
		return r, errdefs.ErrConflict.WithMessage("network with name " + req.Name + " already exists")
	}
	if req.Ingress || req.Scope != "" && req.Scope != "local" {
		return r, noSwarm()
	}
	if r.ConfigOnly {
		r.Driver = "null"
		if req.ConfigFrom != nil && req.ConfigFrom.Network != "" {
			return r, errdefs.ErrPermissionDenied.WithMessage("a configuration network cannot depend on another configuration network")
		}
		if req.Driver != "" && req.Driver != "bridge" && req.Driver != "null" {
			return r, errdefs.ErrPermissionDenied.WithMessage("a configuration network cannot be attached to a driver")
		}
	} else if err := s.checkDriver(&r); err != nil {
		return r, err
	}
	if req.ConfigFrom != nil && req.ConfigFrom.Network != "" {
		if err := s.takeConfig(&r, req.ConfigFrom.Network); err != nil {
			return r, err
		}
	}
	if !r.IPv4 && !r.IPv6 {
		return r, errdefs.ErrInvalidArgument.WithMessage("IPv4 or IPv6 must be enabled")
	}
	if r.Options == nil {
		r.Options = map[string]string{}
	}
	for name, value := range s.cfg.DefaultOptions[r.Driver] {
		if _, given := r.Options[name]; !given && !r.ConfigOnly {
			r.Options[name] = value
		}
	}
	return r, checkPools(r.Asked, r.IPv4, r.IPv6)
}

func (s *maker) nameTaken(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.nets {
		if l.record.Name == name {
			return true
		}
	}
	return false
}

func noSwarm() error {
	return errdefs.ErrUnavailable.WithMessage(`This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
}

func (s *maker) checkDriver(r *store.Record) error {
	switch d := s.drivers[r.Driver]; {
	case r.Driver == "overlay":
		return noSwarm()
	case d == nil:
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", r.Driver))
	case d.Traits().Single:
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("only one instance of %q network is allowed", r.Driver))
	}
	switch r.IPAMDriver {
	case "", "default", "null":
		return nil
	}
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", r.IPAMDriver))
}

// takeConfig fills a record with the settings of a network that holds some.
func (s *maker) takeConfig(r *store.Record, from string) error {
	l, err := s.find(from)
	if err != nil || l.record.Name != from {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("configuration network %q does not exist", from))
	}
	c := &l.record
	if !c.ConfigOnly {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("%q is not a configuration network", from))
	}
	if len(r.Asked) > 0 || len(r.Options) > 0 || len(r.IPAMOptions) > 0 || r.IPv6 {
		return errdefs.ErrPermissionDenied.WithMessage("user-specified configurations are not supported if the network depends on a configuration network")
	}
	labels := maps.Clone(c.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, r.Labels)
	r.ConfigFrom, r.Asked, r.Options, r.Labels = from, c.Asked, maps.Clone(c.Options), labels
	r.IPv4, r.IPv6, r.IPAMDriver, r.IPAMOptions = c.IPv4, c.IPv6, c.IPAMDriver, c.IPAMOptions
	return nil
}

// tell publishes an event of a network.
func (s *state) tell(l *lan, action events.Action, extra map[string]string) {
	if s.cfg.Events == nil {
		return
	}
	attrs := map[string]string{"name": l.record.Name, "type": l.record.Driver}
	maps.Copy(attrs, extra)
	s.cfg.Events.Publish(events.NetworkEventType, action, events.Actor{ID: l.record.ID, Attributes: attrs})
}
