package api

import (
	"gantry/container"
	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	containertypes "github.com/moby/moby/api/types/container"
)

// containers makes, lists and describes containers.
type containers struct {
	svc      *container.Service
	cgroupV2 bool
}

func (c containers) list(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	limit, _, err := r.number("limit")
	if err != nil {
		return err
	}
	if r.version.before(56) && filters.Has("annotation") {
		return errdefs.ErrInvalidArgument.WithMessage("invalid filter 'annotation'")
	}
	filters = oldListParams(r, filters)
	all, err := c.svc.List(r.Context(), container.ListOptions{
		All: r.flag("all"), Size: r.flag("size"), Limit: max(limit, 0), Filters: filters,
	})
	if err != nil {
		return err
	}
	if r.version.before(52) {
		for i := range all {
			shapeSummary(&all[i], r.version)
		}
	}
	return writeList(w, all)
}

// oldListParams maps the parameters of 1.24 that became filters.
func oldListParams(r *request, filters filter.Args) filter.Args {
	if !r.version.before(25) {
		return filters
	}
	for _, key := range []string{"since", "before"} {
		if value := r.param(key); value != "" {
			if filters == nil {
				filters = filter.Args{}
			}
			filters[key] = append(filters[key], value)
		}
	}
	return filters
}

func (c containers) create(w *response, r *request) error {
	req, err := decodeCreate(w, r, c.cgroupV2)
	if err != nil {
		return err
	}
	made, err := c.svc.Create(r.Context(), req.CreateRequest)
	if err != nil {
		return err
	}
	made.Warnings = append(append([]string{}, req.warnings...), made.Warnings...)
	return created(w, made)
}

func (c containers) inspect(w *response, r *request) error {
	found, err := c.svc.Inspect(r.Context(), r.id(), r.flag("size"))
	if err != nil {
		return err
	}
	return ok(w, shapeInspect(found, r.version))
}

func (c containers) update(w *response, r *request) error {
	var u containertypes.UpdateConfig
	if err := r.decode(w, &u); err != nil {
		return err
	}
	forgetUnknownUpdates(&u, r.version)
	updated, err := c.svc.Update(r.Context(), r.id(), u)
	if err != nil {
		return err
	}
	return ok(w, updated)
}

func (c containers) rename(w *response, r *request) error {
	if err := c.svc.Rename(r.Context(), r.id(), r.param("name")); err != nil {
		return err
	}
	return done(w)
}

func (c containers) prune(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	report, err := c.svc.Prune(r.Context(), filters)
	if err != nil {
		return err
	}
	return ok(w, report)
}

// commit makes an image of a container; the body, if any, is the image's configuration.
func (c containers) commit(w *response, r *request) error {
	var config *containertypes.Config
	if r.hasBody() {
		var body configBody
		if err := r.decode(w, &body); err != nil {
			return err
		}
		config = body.config()
	}
	id, err := c.svc.Commit(r.Context(), container.CommitRequest{
		Container: r.param("container"), Repo: r.param("repo"), Tag: r.param("tag"),
		Author: r.param("author"), Comment: r.param("comment"), Changes: r.query["changes"],
		Config: config, NoPause: !r.flagOr("pause", true),
	})
	if err != nil {
		return err
	}
	return created(w, containertypes.CommitResponse{ID: id})
}
