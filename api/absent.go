package api

import "github.com/containerd/errdefs"

// absent answers for an endpoint whose subsystem gantry does not have yet.
func absent(subsystem string) handler {
	err := errdefs.ErrNotImplemented.WithMessage(subsystem + " has not landed in gantry yet")
	return func(*response, *request) error { return err }
}
