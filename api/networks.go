package api

import (
	"net/http"

	"gantry/container"
	"gantry/network"

	"github.com/containerd/errdefs"
	networktypes "github.com/moby/moby/api/types/network"
)

// networks are what containers are connected to, and their connections.
type networks struct {
	svc        *network.Service
	containers *container.Service
}

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

func (n networks) create(w *response, r *request) error {
	var req networktypes.CreateRequest
	if err := r.decode(w, &req); err != nil {
		return err
	}
	if r.version.before(48) {
		req.EnableIPv4 = nil
	}
	id, err := n.svc.Create(r.Context(), req)
	if err != nil {
		return err
	}
	return created(w, networktypes.CreateResponse{ID: id})
}

func (n networks) remove(w *response, r *request) error {
	if err := n.svc.Remove(r.Context(), r.id()); err != nil {
		return err
	}
	return done(w)
}

func (n networks) prune(w *response, r *request) error {
	filters, err := r.filters()
	if err != nil {
		return err
	}
	report, err := n.svc.Prune(r.Context(), filters)
	if err != nil {
		return err
	}
	return ok(w, report)
}

// connect and disconnect answer 200 without a body.
func (n networks) connect(w *response, r *request) error {
	var req networktypes.ConnectRequest
	if err := r.decode(w, &req); err != nil {
		return err
	}
	if req.EndpointConfig != nil {
		forgetUnknownEndpoint(req.EndpointConfig, r.version)
	}
	if err := n.containers.ConnectNetwork(r.Context(), req.Container, r.id(), req.EndpointConfig); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (n networks) disconnect(w *response, r *request) error {
	var req networktypes.DisconnectRequest
	if err := r.decode(w, &req); err != nil {
		return err
	}
	if err := n.containers.DisconnectNetwork(r.Context(), req.Container, r.id(), req.Force); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// forgetUnknownEndpoint drops what the version had no name for.
func forgetUnknownEndpoint(e *networktypes.EndpointSettings, at version) {
	if at.before(48) {
		e.GwPriority = 0
	}
	if at.before(44) {
		e.MacAddress = nil
	}
}
