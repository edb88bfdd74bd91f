package api

import (
	"gantry/network"

	"github.com/containerd/errdefs"
	networktypes "github.com/moby/moby/api/types/network"
)

// networks shows what containers can be connected to.
type networks struct{ svc *network.Service }

// list shows no containers since 1.28.
func (n networks) list(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	all, err := n.svc.List(r.Context(), filters)
	if err != nil {
		return err
	}
	for i := range all {
		all[i].Status = nil
		if !r.version.before(28) {
			all[i].Containers, all[i].Services = map[string]networktypes.EndpointResource{}, nil
			continue
		}
		found, err := n.svc.Inspect(r.Context(), all[i].ID)
		if errdefs.IsNotFound(err) {
			continue // removed meanwhile
		} else if err != nil {
			return err
		}
		all[i].Containers = found.Containers
	}
	return writeList(w, all)
}

func (n networks) inspect(w *response, r *request) error {
	found, err := n.svc.Inspect(r.Context(), r.id())
	if err != nil {
		return err
	}
	if scope := r.param("scope"); scope != "" && scope != found.Scope {
		return errdefs.ErrNotFound.WithMessage("network " + r.id() + " not found")
	}
	if r.version.before(52) {
		found.Status = nil
	}
	return ok(w, found)
}
