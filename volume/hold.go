package volume

import (
	"context"
	"slices"
)

// Holder is who uses a volume.
type Holder struct{ Kind, ID, Name string }

// Hold keeps a volume from being removed until release is called. Errors: not found.
func (s *store) Hold(ctx context.Context, name string, h Holder) (release func(context.Context) error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[name]
	if e == nil || e.removing {
		return nil, noSuchVolume(name)
	}
	e.holders = append(e.holders, &h)
	return s.releaser(e, &h), nil
}

// releaser takes back one hold; calling it again changes nothing.
func (s *store) releaser(e *entry, h *Holder) func(context.Context) error {
	return func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		e.holders = slices.DeleteFunc(e.holders, func(other *Holder) bool { return other == h })
		return nil
	}
}

// heldBy lists the IDs of the holders, each once. The caller has s.mu.
func (e *entry) heldBy() []string {
	var ids []string
	for _, h := range e.holders {
		if !slices.Contains(ids, h.ID) {
			ids = append(ids, h.ID)
		}
	}
	return ids
}
