package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/containerd/errdefs"
)

// statuses is dockerd's mapping of error classes; the first match wins.
var statuses = []struct {
	is     func(error) bool
	status int
}{
	{errdefs.IsNotFound, http.StatusNotFound},
	{errdefs.IsInvalidArgument, http.StatusBadRequest},
	{errdefs.IsOutOfRange, http.StatusBadRequest},
	{errdefs.IsConflict, http.StatusConflict},
	{errdefs.IsAlreadyExists, http.StatusConflict},
	{errdefs.IsFailedPrecondition, http.StatusBadRequest},
	{errdefs.IsUnauthorized, http.StatusUnauthorized},
	{errdefs.IsPermissionDenied, http.StatusForbidden},
	{errdefs.IsNotModified, http.StatusNotModified},
	{errdefs.IsNotImplemented, http.StatusNotImplemented},
	{errdefs.IsUnavailable, http.StatusServiceUnavailable},
}

// errPageNotFound is dockerd's answer to a path or method that it does not know.
var errPageNotFound = errdefs.ErrNotFound.WithMessage("page not found")

func statusOf(err error) int {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge
	}
	err = errdefs.Resolve(err) // the outermost class decides
	for _, s := range statuses {
		if s.is(err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// fail answers with an error, or cuts the connection when an answer has begun: a client must not take it for whole.
func (s *Server) fail(w *response, r *request, err error) {
	if w.hijacked {
		return
	}
	if w.status != 0 {
		if r.Context().Err() == nil {
			s.log.Warn("answer broken off", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	status := statusOf(err)
	switch {
	case r.Context().Err() != nil:
		s.log.Debug("client left", "method", r.Method, "path", r.URL.Path, "error", err)
	case status >= http.StatusInternalServerError && status != http.StatusNotImplemented:
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	default:
		s.log.Debug("request refused", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	writeError(w, status, err.Error())
}

func writeError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if status == http.StatusNotModified { // has no body
		return
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.Encode(struct {
		Message string `json:"message"`
	}{message})
}

// recovered turns a panic of a handler into an answer and a stack in the log.
func (s *Server) recovered(w *response, r *request, cause any) {
	if cause == nil {
		return
	}
	if cause != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
		s.log.Error("panic in a handler", "method", r.Method, "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
	}
	if w.status != 0 || w.hijacked {
		panic(http.ErrAbortHandler)
	}
	writeError(w, http.StatusInternalServerError, "internal error: the engine's log has the details")
}
