package protocol

import (
	"errors"

	"github.com/containerd/errdefs"
)

// Error is an error that crosses the socket: its class, its words, and what a container's
// exit code is to be when its start failed with it (0 if nothing is said).
type Error struct {
	Class    string `json:"class"`
	Text     string `json:"text"`
	ExitCode int    `json:"exitCode,omitempty"`
}

// Error returns the words alone: clients match on them.
func (e *Error) Error() string { return e.Text }

// Unwrap gives the class, for errdefs.Is... and errors.Is.
func (e *Error) Unwrap() error {
	for _, c := range classes() {
		if c.name == e.Class {
			return c.err
		}
	}
	return nil
}

// ToError makes any error ready to be sent. nil stays nil.
func ToError(err error) *Error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return &Error{Class: known.Class, Text: err.Error(), ExitCode: known.ExitCode}
	}
	for _, c := range classes() {
		if errors.Is(err, c.err) {
			return &Error{Class: c.name, Text: err.Error()}
		}
	}
	return &Error{Text: err.Error()}
}

type class struct {
	name string
	err  error
}

func classes() []class {
	return []class{
		{"not found", errdefs.ErrNotFound},
		{"already exists", errdefs.ErrAlreadyExists},
		{"invalid argument", errdefs.ErrInvalidArgument},
		{"failed precondition", errdefs.ErrFailedPrecondition},
		{"conflict", errdefs.ErrConflict},
		{"unavailable", errdefs.ErrUnavailable},
		{"not implemented", errdefs.ErrNotImplemented},
		{"internal", errdefs.ErrInternal},
	}
}
