package api

import (
	"gantry/internal/filter"
	"gantry/volume"

	volumetypes "github.com/moby/moby/api/types/volume"
)

// volumes serves the volume store.
type volumes struct{ svc *volume.Service }

func (v volumes) list(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	all, err := v.svc.List(r.Context(), filters)
	if err != nil {
		return err
	}
	if all.Volumes == nil {
		all.Volumes = []volumetypes.Volume{}
	}
	return ok(w, all)
}

func (v volumes) inspect(w *response, r *request) error {
	found, err := v.svc.Inspect(r.Context(), r.name("name"))
	if err != nil {
		return err
	}
	return ok(w, found)
}

func (v volumes) create(w *response, r *request) error {
	var req volumetypes.CreateRequest
	if err := r.decode(w, &req); err != nil {
		return err
	}
	if req.ClusterVolumeSpec != nil && !r.version.before(42) {
		return absent("cluster volumes")(w, r)
	}
	made, err := v.svc.Create(r.Context(), req)
	if err != nil {
		return err
	}
	return created(w, made)
}

func (v volumes) remove(w *response, r *request) error {
	if err := v.svc.Remove(r.Context(), r.name("name"), r.flag("force")); err != nil {
		return err
	}
	return done(w)
}

// prune removes anonymous volumes; before 1.42, it removed named ones, too.
func (v volumes) prune(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	if r.version.before(42) {
		if filters == nil {
			filters = filter.Args{}
		}
		filters["all"] = []string{"true"}
	}
	report, err := v.svc.Prune(r.Context(), filters)
	if err != nil {
		return err
	}
	return ok(w, report)
}
