package api

import (
	"context"

	"gantry/container"

	"github.com/containerd/errdefs"
)

// lifecycle starts, stops and removes containers.
type lifecycle struct{ svc *container.Service }

// start refuses a body: until 1.23 it could hold a HostConfig.
func (l lifecycle) start(w *response, r *request) error {
	// A JSON object with anything in it has at least 7 bytes; some old clients send {} or null.
	if r.ContentLength > 7 || r.ContentLength == -1 {
		return errdefs.ErrInvalidArgument.WithMessage("starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24")
	}
	if r.param("checkpoint") != "" {
		return absent("checkpoint and restore")(w, r)
	}
	if err := l.svc.Start(r.Context(), r.id()); err != nil {
		return err
	}
	return done(w)
}

func (l lifecycle) stop(w *response, r *request) error { return l.end(w, r, l.svc.Stop) }

func (l lifecycle) restart(w *response, r *request) error {
	return l.end(w, r, l.svc.Restart)
}

// end is stop or restart. The signal can be chosen since 1.42.
func (l lifecycle) end(w *response, r *request, do func(context.Context, string, container.StopOptions) error) error {
	var o container.StopOptions
	seconds, given, err := r.number("t")
	if err != nil {
		return err
	}
	if given {
		o.Seconds = &seconds
	}
	if !r.version.before(42) {
		o.Signal = r.param("signal")
	}
	if err := do(r.Context(), r.id(), o); err != nil {
		return err
	}
	return done(w)
}

func (l lifecycle) kill(w *response, r *request) error {
	if err := l.svc.Kill(r.Context(), r.id(), r.param("signal")); err != nil {
		return err
	}
	return done(w)
}

func (l lifecycle) pause(w *response, r *request) error {
	if err := l.svc.Pause(r.Context(), r.id()); err != nil {
		return err
	}
	return done(w)
}

func (l lifecycle) unpause(w *response, r *request) error {
	if err := l.svc.Unpause(r.Context(), r.id()); err != nil {
		return err
	}
	return done(w)
}

func (l lifecycle) remove(w *response, r *request) error {
	err := l.svc.Remove(r.Context(), r.id(), container.RemoveOptions{
		Force: r.flag("force"), Volumes: r.flag("v"), Link: r.flag("link"),
	})
	if err != nil {
		return err
	}
	return done(w)
}
