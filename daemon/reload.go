package daemon

import (
	"context"

	"gantry/internal/logfmt"

	"github.com/moby/moby/api/types/events"
)

// Reload reads the configuration file again and applies what can change in a running daemon. Errors: a file
// that cannot be used; then nothing changes.
func (d *Daemon) Reload(ctx context.Context) error {
	next, err := d.cfg().Reload()
	if err != nil {
		return err
	}
	for _, p := range next.Pending {
		d.log.Warn("setting takes effect with the next start of the daemon", "option", p.Option, "value", p.Value)
	}
	if err := d.tasks.Reload(ctx, taskConfig(next.Config)); err != nil {
		return err
	}
	d.settings.Store(next.Config)
	logfmt.SetLevel(d.log, logfmt.ParseLevel(next.Config.Log.Threshold()))
	d.Containers.Reload(ctx, containerSettings(next.Config, d.host))
	d.system.Reload(ctx, next.Config)
	d.registry.Reload(ctx, registrySettings(next.Config))
	attrs := next.Config.Attributes()
	attrs["name"] = d.host.Hostname
	_, attrs["default-runtime"] = d.tasks.Runtimes()
	d.events.Publish(events.DaemonEventType, events.ActionReload, events.Actor{ID: d.id, Attributes: attrs})
	d.log.Info("Reloaded configuration", "configuration", next.Config.Describe())
	return nil
}
