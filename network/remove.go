package network

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"gantry/internal/fault"
	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// Remove removes a network. Errors: not found, permission denied (containers are in it, a network depends on it, predefined).
func (s *maker) Remove(ctx context.Context, nameOrID string) error {
	s.making.Lock()
	defer s.making.Unlock()
	l, err := s.find(nameOrID)
	if err != nil {
		return err
	}
	return s.remove(context.WithoutCancel(ctx), l)
}

// remove is for who holds making. The record goes first: what is left of the host's part is removed at the next start.
func (s *maker) remove(ctx context.Context, l *lan) error {
	if err := s.retire(l); err != nil {
		return err
	}
	if err := s.store.Delete(l.record.ID); err != nil {
		s.mu.Lock()
		l.gone = false
		s.mu.Unlock()
		return err
	}
	s.forget(l)
	fault.Point("network.remove.record")
	if l.driver != nil {
		// Rules before the bridge, so that no packet finds the one without the other.
		if err := s.rules.changedBridges(ctx, l); err != nil {
			return err
		}
		if err := l.driver.Remove(ctx, l.conf); err != nil {
			return fmt.Errorf("error while removing network: %w", err)
		}
	}
	s.tell(l, events.ActionDestroy, nil)
	return nil
}

// retire makes sure that nobody is in a network, nor comes into it any more.
func (s *maker) retire(l *lan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case l.builtin:
		return errdefs.ErrPermissionDenied.WithMessage(l.record.Name + " is a pre-defined network and cannot be removed")
	case l.gone:
		return errdefs.ErrNotFound.WithMessage("network " + l.record.Name + " not found")
	case l.users > 0:
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"error while removing network: network %s has active endpoints (%s)", l.record.Name, strings.Join(s.members(l), ", ")))
	}
	if l.record.ConfigOnly {
		for _, other := range s.nets {
			if other.record.ConfigFrom == l.record.Name {
				return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("configuration network %q is in use", l.record.Name))
			}
		}
	}
	l.gone = true
	return nil
}

// members names the containers in a network, for a message. The caller holds mu.
func (s *maker) members(l *lan) []string {
	var out []string
	for _, c := range s.connected {
		if e := c.in(l); e != nil {
			out = append(out, fmt.Sprintf("name:%q id:%q", c.name, e.settings.EndpointID[:min(12, len(e.settings.EndpointID))]))
		}
	}
	slices.Sort(out)
	return out
}

// Prune removes the networks of users that no container is in, and that the filters until and label select.
func (s *maker) Prune(ctx context.Context, f filter.Args) (*network.PruneReport, error) {
	if err := f.Validate("until", "label", "label!"); err != nil {
		return nil, err
	}
	until, err := f.Until(time.Now())
	if err != nil {
		return nil, err
	}
	s.making.Lock()
	defer s.making.Unlock()
	report := &network.PruneReport{}
	for _, l := range s.prunable(f, until) {
		if ctx.Err() != nil {
			return report, nil
		}
		if err := s.remove(context.WithoutCancel(ctx), l); err != nil {
			slog.Warn("network not pruned", "network", l.record.Name, "err", err)
			continue
		}
		report.NetworksDeleted = append(report.NetworksDeleted, l.record.Name)
	}
	if s.cfg.Events != nil {
		s.cfg.Events.Publish(events.NetworkEventType, events.ActionPrune, events.Actor{Attributes: map[string]string{"reclaimed": "0"}})
	}
	return report, nil
}

func (s *maker) prunable(f filter.Args, until time.Time) []*lan {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*lan
	for _, l := range s.nets {
		r := &l.record
		if l.builtin || l.users > 0 || r.ConfigOnly || !until.IsZero() && r.Created.After(until) ||
			!f.Labels("label", r.Labels) || f.Has("label!") && f.Labels("label!", r.Labels) {
			continue
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *lan) int { return cmp.Compare(a.record.Name, b.record.Name) })
	return out
}
