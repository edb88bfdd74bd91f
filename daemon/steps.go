package daemon

import (
	"context"
	"log/slog"

	"gantry/api"
	"gantry/config"
	"gantry/container"
	"gantry/container/record"
	"gantry/events"
	"gantry/host"
	"gantry/internal/version"
	"gantry/metrics"
	"gantry/network"
	"gantry/network/resolver"
	"gantry/security"
	"gantry/storage"
	"gantry/task"
	"gantry/volume"

	apievents "github.com/moby/moby/api/types/events"
)

// The steps of Open that are more than one room's Open.

type limits struct {
	host *host.Host
	cfg  *config.Config
	log  *slog.Logger
}

// raiseLimits refuses a host that cannot run containers; what cannot be raised is a warning.
func raiseLimits(ctx context.Context, l limits) error {
	if err := l.host.Check(); err != nil {
		return err
	}
	if err := l.host.Raise(ctx, l.cfg.OOMScoreAdjust); err != nil {
		l.log.Warn("limits of this process not raised in full", "error", err)
	}
	return nil
}

func securityConfig(cfg *config.Config, h *host.Host) security.Config {
	c := security.Config{
		SeccompProfile: cfg.Containers.SeccompProfile, SELinux: cfg.Containers.SELinux,
		CgroupnsMode: cfg.Containers.CgroupnsMode, NoNewPrivs: cfg.Containers.NoNewPrivileges,
	}
	if c.CgroupnsMode == "" && h != nil {
		c.CgroupnsMode = h.CgroupnsMode()
	}
	return c
}

// with completes the network's configuration by its neighbours. The plane is still on its way when the network is opened.
func with(c network.Config, journal *events.Journal, plane *task.Opening) network.Config {
	c.Events = journal
	c.Resolver = resolver.New(func(ctx context.Context) (resolver.Plane, error) { return plane.Service(ctx) })
	return c
}

type restoring struct {
	containers *container.Service
	networks   *network.Service
	volumes    *volume.Service
	tasks      *task.Service
}

// restore brings back the containers, then removes what no container claimed, and only then lets exits in.
func restore(ctx context.Context, r restoring) error {
	if err := r.containers.Restore(ctx); err != nil {
		return err
	}
	if err := r.networks.Settle(ctx); err != nil {
		return err
	}
	if err := r.tasks.SettleResolvers(ctx); err != nil {
		return err
	}
	if err := r.volumes.Reconcile(ctx); err != nil {
		return err
	}
	r.tasks.Subscribe(r.containers)
	r.containers.Resume(ctx)
	return nil
}

func topped(c *container.Service) func(*record.Container) {
	return func(r *record.Container) { c.Announce(r, apievents.ActionTop, nil) }
}

func oldest(cfg *config.Config) string {
	if cfg.Serve.MinAPIVersion != "" {
		return cfg.Serve.MinAPIVersion
	}
	return api.Oldest.String()
}

type described struct {
	metrics    *metrics.Service
	host       *host.Host
	storage    *storage.Service
	containers *container.Service
	events     *events.Journal
	id         string
}

// describe tells the metrics what is only known when the rooms are open.
func describe(_ context.Context, d described) error {
	driver, _ := d.storage.Driver()
	d.metrics.Describe(metrics.Engine{
		ID: d.id, Version: version.Number, Commit: version.Read().Short(), Architecture: d.host.Architecture,
		Kernel: d.host.Kernel.Release, OS: d.host.OS.Name, OSType: "linux", OSVersion: d.host.OS.Version,
		StorageDriver: driver, CPUs: d.host.CPUs, Memory: d.host.Memory,
	}, metrics.Sources{
		States: func() (running, paused, stopped int) {
			n := d.containers.Count()
			return n.Running, n.Paused, n.Stopped
		},
		Subscribers: d.events.Subscribers, Events: d.events.Published,
	})
	return nil
}
