package api

import (
	"context"
	"encoding/json"
	"net/http"

	"gantry/container"
	"gantry/container/stats"

	"github.com/containerd/errdefs"
	containertypes "github.com/moby/moby/api/types/container"
)

// watcher reports what containers do: that they end, what they use, which processes they run.
type watcher struct {
	svc   *container.Service
	usage *stats.Service
}

// wait answers when a condition holds. Since 1.30 the header is sent as soon as the wait is armed, so that a client may
// start the container when it has read it.
func (c watcher) wait(w *response, r *request) error {
	condition, err := waitCondition(r)
	if err != nil {
		return err
	}
	ctx, cancel := r.server.untilEnd(r.Context())
	defer cancel()
	result, err := c.svc.Wait(ctx, r.id(), condition)
	if err != nil {
		return err
	}
	return sendWait(ctx, w, result, r.version)
}

// waitCondition checks the parameter; versions before 1.42 took an unknown one for the default, those before 1.30 knew no other.
func waitCondition(r *request) (containertypes.WaitCondition, error) {
	switch c := containertypes.WaitCondition(r.param("condition")); {
	case r.version.before(30) || c == "":
		return containertypes.WaitConditionNotRunning, nil
	case c == containertypes.WaitConditionNotRunning, c == containertypes.WaitConditionNextExit, c == containertypes.WaitConditionRemoved:
		return c, nil
	case r.version.before(42):
		return containertypes.WaitConditionNotRunning, nil
	default:
		return "", invalid("invalid condition: %q", string(c))
	}
}

func sendWait(ctx context.Context, w *response, result <-chan containertypes.WaitResponse, at version) error {
	w.Header().Set("Content-Type", "application/json")
	if !at.before(30) {
		w.WriteHeader(http.StatusOK)
		w.Flush()
	}
	select {
	case ended, open := <-result:
		if !open {
			return errdefs.ErrUnavailable.WithMessage("the wait was given up")
		}
		if at.before(34) {
			ended.Error = nil
		}
		json.NewEncoder(w).Encode(ended)
		return nil
	case <-ctx.Done():
		return errdefs.ErrUnavailable.WithMessage("the wait was given up: " + context.Cause(ctx).Error())
	}
}

// stats sends a sample a second, or a single one.
func (c watcher) stats(w *response, r *request) error {
	stream := r.flagOr("stream", true)
	oneShot := !r.version.before(41) && r.flag("one-shot")
	if stream && oneShot {
		return invalid("cannot have stream=true and one-shot=true")
	}
	if !stream {
		sample, err := c.usage.Sample(r.Context(), r.id(), oneShot)
		if err != nil {
			return err
		}
		return ok(w, shapeStats(sample, r.version))
	}
	ctx, cancel := r.server.untilEnd(r.Context())
	defer cancel()
	samples, err := c.usage.Stream(ctx, r.id())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Flush()
	encoder := json.NewEncoder(w)
	for sample := range samples {
		if encoder.Encode(shapeStats(sample, r.version)) != nil {
			return nil // the client has gone
		}
		w.Flush()
	}
	return nil
}

func (c watcher) top(w *response, r *request) error {
	table, err := c.usage.Top(r.Context(), r.id(), r.param("ps_args"))
	if err != nil {
		return err
	}
	return ok(w, table)
}
