package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// validate checks what depends on several settings or on where they come from.
func (c *Config) validate(t table) error {
	if err := c.checkLater(t); err != nil {
		return err
	}
	if err := errors.Join(c.Runtimes.validate(), c.Registry.validate()); err != nil {
		return err
	}
	for _, check := range []func(*Config) error{validatePaths, validateContainers, validateNetwork, validateLabels} {
		if err := check(c); err != nil {
			return err
		}
	}
	return nil
}

// blame says that an error is the file's, when there is one: it is what the operator can edit.
func (c *Config) blame(err error) error {
	if c.File == "" {
		return err
	}
	return &FileError{c.File, fmt.Errorf("merged configuration validation from file and command line flags failed: %w", err)}
}

// checkLater refuses settings of what is still to come, unless they are the default, and takes note of those
// that change nothing.
func (c *Config) checkLater(t table) error {
	defaults := map[string]string{}
	Default(c.Program).table().all(func(o *option) { defaults[o.id()] = o.value.String() })
	var errs []error
	t.all(func(o *option) {
		if !c.Set(o.id()) || o.value.String() == defaults[o.id()] {
			return
		}
		switch {
		case o.later != "":
			errs = append(errs, fmt.Errorf("%s: gantry has no %s yet: leave the option out", o.id(), o.later))
		case o.ignored != "":
			c.Notes = append(c.Notes, fmt.Sprintf("%s has no effect: %s", o.id(), o.ignored))
		}
	})
	return errors.Join(errs...)
}

func validatePaths(c *Config) error {
	for _, p := range []*string{&c.DataRoot, &c.ExecRoot, &c.Pidfile} {
		if *p == "" {
			continue // no pidfile
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	if c.DataRoot == "" || c.ExecRoot == "" {
		return errors.New("data-root and exec-root must not be empty")
	}
	if c.OOMScoreAdjust < -1000 || c.OOMScoreAdjust > 1000 {
		return fmt.Errorf("invalid oom-score-adjust: %d: must be between -1000 and 1000", c.OOMScoreAdjust)
	}
	if c.Serve.MetricsAddr != "" {
		if _, _, err := net.SplitHostPort(c.Serve.MetricsAddr); err != nil {
			return fmt.Errorf("invalid metrics-addr: %w", err)
		}
	}
	return nil
}

func validateContainers(c *Config) error {
	if d := c.Containers; d.SystemdCgroup && d.CgroupParent != "" && (len(d.CgroupParent) <= 6 || !strings.HasSuffix(d.CgroupParent, ".slice")) {
		return errors.New(`cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"`)
	}
	return nil
}

func validateNetwork(c *Config) error {
	n := &c.Network
	switch {
	case n.Bridge != "" && n.BIP.IsValid():
		return errors.New("you specified -b & --bip, mutually exclusive options. Please specify only one")
	case !n.IPTables && !n.ICC:
		return errors.New("you specified --iptables=false with --icc=false. ICC=false uses iptables to function. Please set --icc or --iptables to true")
	case n.MTU < 0:
		return fmt.Errorf("invalid default MTU: %d", n.MTU)
	case n.BIP.IsValid() && !n.BIP.Addr().Is4():
		return fmt.Errorf("invalid bip: %s is not an IPv4 network", n.BIP)
	case n.FixedCIDR.IsValid() && n.BIP.IsValid() && !n.BIP.Masked().Overlaps(n.FixedCIDR):
		return fmt.Errorf("fixed-cidr %s is not part of the default bridge's network %s", n.FixedCIDR, n.BIP.Masked())
	case n.Gateway.IsValid() && n.BIP.IsValid() && !n.BIP.Masked().Contains(n.Gateway):
		return fmt.Errorf("default-gateway %s is not in the default bridge's network %s", n.Gateway, n.BIP.Masked())
	}
	return nil
}

func validateLabels(c *Config) error {
	seen := map[string]string{}
	for _, label := range c.Labels {
		key, v, _ := strings.Cut(label, "=")
		if old, ok := seen[key]; ok && old != v {
			return fmt.Errorf("conflict labels for %s=%s and %s=%s", key, v, key, old)
		}
		seen[key] = v
	}
	return nil
}
