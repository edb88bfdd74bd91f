package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"gantry/config"
	"gantry/host/listen"
	"gantry/host/notify"
	"gantry/logdriver/drivers"
)

// Run opens the daemon, serves its API until ctx ends or a signal asks it to stop, and closes it. Errors: those of the first step that fails,
// of a listener, and of stopping.
func Run(ctx context.Context, cfg *config.Config) error {
	log := slog.Default()
	d, listeners, err := start(ctx, cfg, log)
	if err != nil {
		return fmt.Errorf("failed to start daemon: %w", err)
	}
	signals := watchSignals()
	defer signals.stop()
	manager := notify.New(cfg.Getenv("NOTIFY_SOCKET"))
	log.Info("Daemon has completed initialization")
	served := make(chan error, 1)
	go func() { served <- d.API.Serve(ctx, listeners) }()
	if err := manager.Ready(); err != nil {
		log.Warn("service manager not told that the daemon is ready", "error", err)
	}
	err = d.untilStopped(ctx, signals, served, manager)
	if err := manager.Stopping(); err != nil {
		log.Warn("service manager not told that the daemon stops", "error", err)
	}
	return errors.Join(err, d.shutdown(context.WithoutCancel(ctx)))
}

func start(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Daemon, []net.Listener, error) {
	if err := drivers.Validate(cfg.Containers.LogDriver, cfg.Containers.LogOptions); err != nil {
		return nil, nil, err
	}
	d, err := Open(ctx, cfg, nil)
	if err != nil {
		return nil, nil, err
	}
	listeners, err := openListeners(ctx, cfg, log)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close(context.WithoutCancel(ctx)))
	}
	return d, listeners, nil
}

// openListeners opens the sockets; only now, since clients take an open socket for a daemon that is ready.
func openListeners(ctx context.Context, cfg *config.Config, log *slog.Logger) ([]net.Listener, error) {
	c := listen.Config{Hosts: cfg.Serve.Hosts, Group: cfg.Serve.Group, GroupOptional: !cfg.Serve.GroupSet, Getenv: cfg.Getenv}
	if t := cfg.Serve.TLS; t.Enabled || t.Verify {
		var err error
		if c.TLS, err = listen.TLS(listen.Files{CA: t.CA, Cert: t.Cert, Key: t.Key}, t.Verify); err != nil {
			return nil, err
		}
	}
	opened, warnings, err := listen.Open(ctx, c)
	for _, w := range warnings {
		log.Warn(w)
	}
	if err != nil {
		return nil, err
	}
	var all []net.Listener
	for _, l := range opened {
		log.Info("API listen on " + l.Addr().String())
		all = append(all, l)
	}
	return all, nil
}

// untilStopped obeys signals until one says stop.
func (d *Daemon) untilStopped(ctx context.Context, signals *signals, served <-chan error, manager notify.Manager) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			return fmt.Errorf("serve the API: %w", err)
		case sig := <-signals.reload:
			d.log.Info("got signal to reload configuration", "signal", sig.String())
			err := errors.Join(manager.Reloading(), d.Reload(ctx), manager.Ready())
			if err != nil {
				d.log.Error("configuration not reloaded in full", "error", err)
			}
		case <-signals.dump:
			file, err := dumpStacks(d.cfg().ExecRoot)
			d.log.Info("goroutine stacks written", "file", file, "error", err)
		case sig := <-signals.end:
			d.log.Info("Processing signal '" + sig.String() + "'")
			return nil
		}
	}
}

// shutdown stops the containers, unless they are to live on, and closes everything.
func (d *Daemon) shutdown(ctx context.Context) error {
	err := d.API.Close(withGrace(ctx))
	if !d.cfg().LiveRestore {
		err = errors.Join(err, d.Containers.Shutdown(ctx))
	}
	err = errors.Join(err, d.Close(ctx))
	d.log.Info("Daemon shutdown complete")
	return err
}
