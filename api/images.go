package api

import (
	"net/http"

	"gantry/image"
	"gantry/internal/filter"

	imagetypes "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// images lists, describes, names and removes images.
type images struct{ svc *image.Service }

func (i images) list(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	if name := r.param("filter"); name != "" && r.version.before(41) {
		if filters == nil {
			filters = filter.Args{}
		}
		filters["reference"] = append(filters["reference"], name)
	}
	all, err := i.svc.List(r.Context(), image.ListOptions{
		All:        r.flag("all"),
		SharedSize: r.flag("shared-size") && !r.version.before(42),
		Manifests:  (r.flag("manifests") && !r.version.before(47)) || (r.flag("identity") && !r.version.before(54)),
		Filters:    filters,
	})
	if err != nil {
		return err
	}
	if r.version.before(51) {
		for i := range all {
			all[i].Containers = -1 // only system df counted them
		}
	}
	return ok(w, shapeImageList(all, r.version))
}

func (i images) inspect(w *response, r *request) error {
	o := image.InspectOptions{Manifests: r.flag("manifests") && !r.version.before(48)}
	var err error
	if o.Platform, err = platformSince(r, 49); err != nil {
		return err
	}
	if o.Platform != nil && o.Manifests {
		return invalid("conflicting options: manifests and platform options cannot both be set")
	}
	found, err := i.svc.Inspect(r.Context(), r.name("name"), o)
	if err != nil {
		return err
	}
	return ok(w, shapeImageInspect(found, r.version))
}

// platformSince reads the parameter platform, JSON, which the endpoint has since 1.minor. Errors: invalid argument.
func platformSince(r *request, minor int) (*ocispec.Platform, error) {
	text := r.param("platform")
	if text == "" || r.version.before(minor) {
		return nil, nil
	}
	return decodePlatform(text)
}

// platformsSince is platformSince for a parameter that may be repeated.
func platformsSince(r *request, key string, minor int) ([]ocispec.Platform, error) {
	if r.version.before(minor) {
		return nil, nil
	}
	var all []ocispec.Platform
	for _, text := range r.query[key] {
		p, err := decodePlatform(text)
		if err != nil {
			return nil, err
		}
		all = append(all, *p)
	}
	return all, nil
}

func (i images) attestations(w *response, r *request) error {
	platforms, err := platformsSince(r, "platform", 55)
	if err != nil {
		return err
	}
	o := image.AttestationOptions{Predicates: r.query["type"], Statements: r.flag("statement")}
	switch len(platforms) {
	case 0:
	case 1:
		o.Platform = &platforms[0]
	default:
		return invalid("only one platform can be asked for at a time")
	}
	list, err := i.svc.Attestations(r.Context(), r.name("name"), o)
	if err != nil {
		return err
	}
	return writeList(w, list)
}

func (i images) history(w *response, r *request) error {
	platform, err := platformSince(r, 48)
	if err != nil {
		return err
	}
	steps, err := i.svc.History(r.Context(), r.name("name"), platform)
	if err != nil {
		return err
	}
	return writeList(w, steps)
}

func (i images) tag(w *response, r *request) error {
	if err := i.svc.Tag(r.Context(), r.name("name"), r.param("repo"), r.param("tag")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (i images) remove(w *response, r *request) error {
	platforms, err := platformsSince(r, "platforms", 50)
	if err != nil {
		return err
	}
	removed, err := i.svc.Remove(r.Context(), r.name("name"), image.RemoveOptions{
		Force: r.flag("force"), NoPrune: r.flag("noprune"), Platforms: platforms,
	})
	if err != nil {
		return err
	}
	return writeList(w, removed)
}

func (i images) prune(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	deleted, bytes, err := i.svc.Prune(r.Context(), filters)
	if err != nil {
		return err
	}
	return ok(w, imagetypes.PruneReport{ImagesDeleted: deleted, SpaceReclaimed: bytes})
}
