package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"gantry/network/firewall"
)

// ruler keeps the firewall as the networks and the published ports want it.
type ruler struct {
	*state
	firewall  firewall.Firewall
	rules     sync.Mutex               // one change of the firewall at a time, in the order of published
	published map[place]netip.AddrPort // what the firewall publishes, and where it leads; guarded by mu
}

// openRules puts the firewall's rules in place, with the ports of containers that have run on, and then opens the host for
// what they allow.
func (s *ruler) openRules(ctx context.Context) error {
	var err error
	if s.before.ports, err = s.firewall.Published(ctx); err != nil {
		return err
	}
	for _, p := range s.before.ports {
		s.published[placeOf(p)] = p.To
	}
	return s.applyRules(ctx)
}

// changedBridges follows the making or removal of a network: rules before doors.
func (s *ruler) changedBridges(ctx context.Context, l *lan) error {
	if l.record.Driver != "bridge" {
		return nil
	}
	s.rules.Lock()
	defer s.rules.Unlock()
	return s.applyRules(ctx)
}

// applyRules replaces the rules by those that are desired now, and then opens the host for what they allow. The caller holds rules, or is
// alone.
func (s *ruler) applyRules(ctx context.Context) (err error) {
	bridges := s.bridges()
	forward := !s.cfg.NoForward && len(bridges) > 0
	if forward {
		if s.onlyOurs, err = s.forwardedNothing(); err != nil {
			return err
		}
	}
	if err := s.firewall.Set(ctx, s.desired()); err != nil {
		return err
	}
	if forward {
		if err := os.WriteFile(forwardSwitch, []byte("1"), 0); err != nil {
			return fmt.Errorf("enable forwarding: %w", err)
		}
	}
	if s.cfg.NoFirewall {
		return nil
	}
	var errs []error
	for _, b := range bridges {
		// Connections to a published port at 127.0.0.1 leave by the bridge with a loopback source, until they are masqueraded.
		errs = append(errs, os.WriteFile("/proc/sys/net/ipv4/conf/"+b.Name+"/route_localnet", []byte("1"), 0))
	}
	return errors.Join(errs...)
}

const forwardSwitch = "/proc/sys/net/ipv4/ip_forward"

// forwardedNothing reports whether the host was no router before we made it one: then it is to be one for containers alone. A
// file beside the sandboxes remembers that for the next process; it goes with a restart of the machine, as the switch.
func (s *ruler) forwardedNothing() (bool, error) {
	mark := filepath.Join(s.cfg.ExecRoot, "forwarding-was-off")
	state, err := os.ReadFile(forwardSwitch)
	if err != nil {
		return false, err
	}
	if strings.TrimSpace(string(state)) == "0" {
		if err := os.MkdirAll(s.cfg.ExecRoot, 0o711); err != nil {
			return false, err
		}
		return true, os.WriteFile(mark, nil, 0o600)
	}
	_, err = os.Stat(mark)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// filterBridged makes the firewall see what a bridge passes from port to port, and reports whether the kernel can do so.
func filterBridged() bool {
	return os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0) == nil
}

// desired is what the firewall is to do.
func (s *ruler) desired() firewall.Desired {
	d := firewall.Desired{OnlyOurs: s.onlyOurs, Bridges: s.bridges()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, to := range s.published {
		d.Ports = append(d.Ports, firewall.Port{Protocol: p.protocol, Host: p.at, To: to})
	}
	return d
}

// publish changes which ports lead to containers. Rules that somebody has flushed are put back on the way.
func (s *ruler) publish(ctx context.Context, add, remove []firewall.Port) error {
	if len(add)+len(remove) == 0 {
		return nil
	}
	s.rules.Lock()
	defer s.rules.Unlock()
	s.mu.Lock()
	// What has come to lead elsewhere meanwhile is not the caller's any more.
	remove = slices.DeleteFunc(slices.Clone(remove), func(p firewall.Port) bool { return s.published[placeOf(p)] != p.To })
	for _, p := range remove {
		delete(s.published, placeOf(p))
	}
	for _, p := range add {
		s.published[placeOf(p)] = p.To
	}
	s.mu.Unlock()
	err := s.firewall.Remove(ctx, remove)
	if err == nil {
		err = s.firewall.Add(ctx, add)
	}
	if err != nil {
		slog.Debug("firewall is not as it was left, replacing its rules", "err", err)
		return s.firewall.Set(ctx, s.desired())
	}
	return nil
}
