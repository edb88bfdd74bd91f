package api

import "github.com/containerd/errdefs"

// absent answers for an endpoint whose subsystem gantry does not have yet.
func absent(subsystem string) handler {
	err := errdefs.ErrNotImplemented.WithMessage(subsystem + " has not landed in gantry yet")
	return func(*response, *request) error { return err }
}

// pruned answers a prune of what cannot exist before its subsystem: docker system prune asks for all of them, and stops at
// the first that fails.
func pruned(report any) handler {
	return func(w *response, r *request) error {
		if _, err := r.filters(); err != nil {
			return err
		}
		return ok(w, report)
	}
}
