// Package system answers what concerns the engine as a whole: what it is (version), how it is (info), what it
// occupies (disk usage), and who it is (identity). It asks each room and changes nothing.
package system

import (
	"context"
	"sync/atomic"
	"time"

	"gantry/config"
	"gantry/host"
)

// Config is what the answers are made of. Interfaces may not be nil, functions may.
type Config struct {
	Settings *config.Config
	Host     *host.Host
	ID       string // of the engine: see Identify

	Containers Containers
	Images     Images
	Volumes    Volumes
	Storage    Storage
	Runtimes   Runtimes
	Security   Security
	Events     Events

	APIVersion    string // newest that is served
	MinAPIVersion string // oldest
	CgroupDriver  string // "cgroupfs" or "systemd"; "" for what the settings say
	InitBinary    string // name or path of the init process of containers; "" for gantry-init
	Firewall      string // name of the firewall backend in use; "" for none
	Plugins       Plugins

	// Warnings adds sentences to those of info. May be nil.
	Warnings func() []string
	// Observe is told how long an answer took, in dockerd's words: system_info, system_version. May be nil.
	Observe func(function string, took time.Duration)
}

// Plugins are the names of the drivers that can be chosen.
type Plugins struct{ Log, Network, Volume []string }

// Service answers. Safe for concurrent use.
type Service struct {
	cfg      Config
	settings atomic.Pointer[config.Config]
}

// Open does nothing but keep the configuration.
func Open(_ context.Context, cfg Config) (*Service, error) {
	s := &Service{cfg: cfg}
	s.settings.Store(cfg.Settings)
	return s, nil
}

// Reload replaces the settings.
func (s *Service) Reload(_ context.Context, settings *config.Config) { s.settings.Store(settings) }

// Ping is what the answer to /_ping says in its headers.
type Ping struct {
	Builder      string // version of the builder that clients should use: 2 is BuildKit
	Swarm        string // "inactive": there is no swarm mode yet
	Experimental bool
}

// Ping needs no room: it answers while they are busy.
func (s *Service) Ping() Ping {
	return Ping{Builder: "2", Swarm: "inactive", Experimental: s.settings.Load().Serve.Experimental}
}

// observe is for `defer s.observe("system_info", time.Now())`.
func (s *Service) observe(function string, began time.Time) {
	if s.cfg.Observe != nil {
		s.cfg.Observe(function, time.Since(began))
	}
}
