package distribution

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// maxErrorBody bounds what is read of an error, in bytes; maxErrorText what is shown of it, in runes.
const (
	maxErrorBody = 64 << 10
	maxErrorText = 500
)

// refusal is an answer of a registry that is not what was asked for.
type refusal struct {
	method, url string
	status      int
	code        string // of the distribution specification: "NAME_UNKNOWN"; "" if it did not say
	message     string
}

func (e *refusal) Error() string {
	switch {
	case e.code != "" && e.message != "":
		return strings.ToLower(strings.ReplaceAll(e.code, "_", " ")) + ": " + e.message
	case e.code != "":
		return strings.ToLower(strings.ReplaceAll(e.code, "_", " "))
	}
	return fmt.Sprintf("%s %q: unexpected status %d %s", e.method, e.url, e.status, http.StatusText(e.status))
}

// Is gives the refusal its class.
func (e *refusal) Is(class error) bool {
	switch e.status {
	case http.StatusUnauthorized:
		return class == errdefs.ErrUnauthenticated
	case http.StatusForbidden:
		return class == errdefs.ErrPermissionDenied
	case http.StatusNotFound:
		return class == errdefs.ErrNotFound
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return class == errdefs.ErrUnavailable
	}
	return false
}

// refused reads an error from a response and closes it.
func refused(resp *http.Response) error {
	defer resp.Body.Close()
	e := &refusal{method: resp.Request.Method, url: resp.Request.URL.Redacted(), status: resp.StatusCode}
	var body struct {
		Errors []struct{ Code, Message string } `json:"errors"`
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err == nil && json.Unmarshal(data, &body) == nil && len(body.Errors) > 0 {
		e.code, e.message = printable(body.Errors[0].Code), printable(body.Errors[0].Message)
	}
	return e
}

// printable keeps a registry's words from steering a terminal.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
	if r := []rune(text); len(r) > maxErrorText {
		return string(r[:maxErrorText]) + "..."
	}
	return text
}

// temporary reports whether to ask again may help.
func temporary(err error) bool {
	var r *refusal
	var wrong *wrongContent
	var local *localError
	switch {
	case errors.As(err, &r):
		return r.status >= 500 || r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout
	case errors.As(err, &wrong), errors.As(err, &local), errdefs.IsPermissionDenied(err):
		return false
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return false
	}
	return true
}

// wrongContent says that a registry sent something else than what it was asked for.
type wrongContent struct{ text string }

func (e *wrongContent) Error() string        { return e.text }
func (e *wrongContent) Is(target error) bool { return target == errdefs.ErrDataLoss }

func wrong(format string, args ...any) error { return &wrongContent{fmt.Sprintf(format, args...)} }

// localError is a failure of this machine: another registry would not help.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// pullError puts the refusal of a manifest in dockerd's words.
func pullError(ref reference.Named, err error) error {
	var r *refusal
	name := reference.FamiliarName(ref)
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return denied(name, "")
	case !errors.As(err, &r):
		return err
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden, r.code == "NAME_UNKNOWN", r.code == "DENIED":
		said := ""
		if r.code != "" {
			said = ": " + r.Error()
		}
		return denied(name, said)
	case r.status == http.StatusNotFound:
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("manifest for %s not found: manifest unknown: manifest unknown", reference.FamiliarString(ref)))
	case r.status == http.StatusTooManyRequests:
		return errdefs.ErrUnavailable.WithMessage("toomanyrequests: " + r.message)
	}
	return err
}

func denied(name, said string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("pull access denied for %s, repository does not exist or may require 'docker login'%s", name, said))
}
