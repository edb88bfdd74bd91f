// Package daemon is where all rooms meet: it opens them in order, serves the API, and closes them in reverse.
package daemon

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"gantry/api"
	"gantry/config"
	"gantry/container"
	"gantry/container/archive"
	"gantry/container/exec"
	"gantry/container/stats"
	"gantry/container/stdio"
	"gantry/distribution"
	"gantry/events"
	"gantry/host"
	"gantry/image"
	"gantry/internal/boot"
	"gantry/internal/version"
	"gantry/logdriver/drivers"
	"gantry/metrics"
	"gantry/network"
	"gantry/security"
	"gantry/storage"
	"gantry/system"
	"gantry/task"
	"gantry/volume"
)

// Daemon is everything that runs. It has no behaviour of its own beyond reload and shutdown.
type Daemon struct {
	*boot.Sequence
	API        *api.Server
	Containers *container.Service

	log      *slog.Logger
	host     *host.Host
	events   *events.Journal
	system   *system.Service
	tasks    *task.Service
	registry *distribution.Service
	settings atomic.Pointer[config.Config]
	id       string
}

func (d *Daemon) cfg() *config.Config { return d.settings.Load() }

// Open is the list of what gantry is. The first step that fails ends it, and what was opened is closed in reverse.
// Before is a test's: an error from it fails the step of that name; nil else.
func Open(ctx context.Context, cfg *config.Config, before func(step string) error) (*Daemon, error) {
	log := slog.Default()
	s := boot.New(ctx, log)
	s.Before = before

	measured := metrics.New()
	machine := boot.Step(s, "platform", host.Open, host.Config{})
	boot.Do(s, "host limits", raiseLimits, limits{machine, cfg, log})
	classic := boot.Step(s, "survey", openSurvey, cfg)
	boot.Step(s, "data root", openDataRoot, cfg)
	supervisor := boot.Step(s, "supervisor", task.Begin, taskConfig(cfg)) // "runtime" waits for it
	guard := boot.Step(s, "security", security.Open, securityConfig(cfg, machine))
	layers := boot.Step(s, "storage", storage.Open, storage.Config{Root: cfg.DataRoot, Driver: cfg.Storage.Driver, Options: cfg.Storage.Options})
	journal := boot.Step(s, "events", events.Open, events.Config{})
	images := boot.Step(s, "images", image.Open, image.Config{Storage: layers, Events: journal, Observe: measured.ImageAction})
	registries := boot.Step(s, "registries", distribution.Open, registryConfig(cfg, layers, images))
	boot.Do(s, "migration", migrate, migration{classic, layers, images, log})
	volumes := boot.Step(s, "volumes", volume.Open, volume.Config{Root: cfg.DataRoot, Events: journal})
	identity := boot.Step(s, "identity", system.Identify, cfg.DataRoot)
	nets := boot.Step(s, "network", network.Open, with(networkConfig(cfg), journal, supervisor))
	tasks := boot.Step(s, "runtime", task.Await, supervisor)
	connections := networksForContainers{nets, measured.NetworkAction}
	containers := boot.Step(s, "containers", container.Open, container.Config{
		Root: cfg.DataRoot, Images: imagesForContainers{images}, Volumes: volumesForContainers{volumes},
		Networks: connections, Endpoints: connections, Storage: layers, Tasks: tasks, Security: guard, Events: journal,
		Settings: containerSettings(cfg, machine), Log: log, Observe: measured.ContainerAction, Probed: measured.HealthCheck,
	})
	boot.Do(s, "restore", restore, restoring{containers, nets, volumes, tasks})
	execs := boot.Step(s, "exec", exec.Open, exec.Config{Containers: containers, Resizer: tasks})
	streams := boot.Step(s, "stdio", stdio.Open, stdio.Config{Containers: containers, Tasks: tasks})
	files := archive.New(archive.Config{
		Containers: recordsForArchive{containers}, Layers: layers, Volumes: volumes,
		Dir: filepath.Join(cfg.DataRoot, "containers"), Told: announce(containers),
	})
	measures := boot.Step(s, "stats", stats.Open, stats.Config{Containers: containers, Topped: topped(containers)})
	facts := boot.Step(s, "system", system.Open, system.Config{
		Settings: cfg, Host: machine, ID: identity.ID, Containers: containers, Images: images, Volumes: volumes,
		Storage: layers, Runtimes: tasks, Security: guard, Events: journal,
		Observe: measured.HostInfo, APIVersion: api.Newest.String(), MinAPIVersion: oldest(cfg), InitBinary: findInit(cfg), Firewall: firewallName(cfg),
		Plugins: system.Plugins{Log: selectable(drivers.Names()), Network: []string{"bridge", "host", "ipvlan", "macvlan", "null"}, Volume: []string{"local"}},
	})
	server := boot.Step(s, "API", api.Open, api.Config{
		Containers: containers, Exec: execs, Stdio: streams, Archive: files, Stats: measures, Images: images, Registries: registries, Volumes: volumes,
		Networks: nets, System: facts, Events: journal, ServerVersion: version.Number, MinVersion: cfg.Serve.MinAPIVersion,
		Experimental: cfg.Serve.Experimental, Observe: measured.Request, CgroupV2: containerSettings(cfg, machine).Spec.Cgroup2, Log: log,
	})

	boot.Do(s, "metrics", describe, described{measured, machine, layers, containers, journal, identity.ID})
	boot.Step(s, "metrics server", metrics.Serve, metrics.ServeConfig{Metrics: measured, Address: cfg.Serve.MetricsAddr})
	for step, took := range s.Took {
		measured.StartStep(step, took)
	}

	d := &Daemon{Sequence: s, API: server, Containers: containers, log: log, host: machine, events: journal, system: facts, tasks: tasks, registry: registries, id: identity.ID}
	d.settings.Store(cfg)
	return d, s.Done()
}
