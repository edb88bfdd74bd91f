package image

import (
	"context"
	"slices"
	"sync"
)

// Holder is who uses an image.
type Holder struct {
	Kind string // "container"; "running container" while it runs
	ID   string
	Name string
}

// Running reports whether the image's files are in use at this moment: such a hold cannot be overridden.
func (h Holder) Running() bool { return h.Kind == "running container" }

// Hold keeps an image from being removed until release is called. A holder may
// hold the same image several times, as different kinds.
func (s *Service) Hold(_ context.Context, id string, h Holder) (release func(context.Context) error, err error) {
	return s.holds.add(id, h), nil
}

// holds are the holders of each image, by image ID.
type holds struct {
	mu   sync.Mutex // guards byID
	byID map[string][]*Holder
}

func newHolds() *holds { return &holds{byID: map[string][]*Holder{}} }

func (h *holds) add(id string, who Holder) func(context.Context) error {
	entry := &who
	h.mu.Lock()
	h.byID[id] = append(h.byID[id], entry)
	h.mu.Unlock()
	return func(context.Context) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		left := slices.DeleteFunc(h.byID[id], func(e *Holder) bool { return e == entry })
		if len(left) == 0 {
			delete(h.byID, id)
		} else {
			h.byID[id] = left
		}
		return nil
	}
}

// of returns the holders of an image, the running ones first, each ID once.
func (h *holds) of(id string) []Holder {
	h.mu.Lock()
	defer h.mu.Unlock()
	var running, other []Holder
	seen := map[string]bool{}
	for _, e := range h.byID[id] {
		if e.Running() {
			running = append(running, *e)
			seen[e.ID] = true
		}
	}
	for _, e := range h.byID[id] {
		if !seen[e.ID] {
			other = append(other, *e)
			seen[e.ID] = true
		}
	}
	return append(running, other...)
}
