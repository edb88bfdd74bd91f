package task

import (
	"errors"
	"os"
	"slices"
	"sync"

	"gantry/task/protocol"
)

// held are copies of the supervisor's descriptors, by process.
type held struct {
	mu   sync.Mutex // guards what follows
	sets map[protocol.Target]map[string]*os.File
}

func newHeld() *held { return &held{sets: map[protocol.Target]map[string]*os.File{}} }

// keep takes over descriptors. What was held for the process before is closed.
func (h *held) keep(of protocol.Held, files []*os.File) error {
	if len(of.Names) != len(files) {
		return errors.Join(errors.New("supervisor named other descriptors than it sent"), protocol.CloseAll(files))
	}
	set := map[string]*os.File{}
	for i, name := range of.Names {
		set[name] = files[i]
	}
	h.mu.Lock()
	old := h.sets[of.Target]
	h.sets[of.Target] = set
	h.mu.Unlock()
	return closeSet(old)
}

// drop closes descriptors: those that are named, or all of the process. With an
// init process its execs' go too. Run 0 is any.
func (h *held) drop(of protocol.Held) error {
	var gone []*os.File
	h.mu.Lock()
	for target, set := range h.sets {
		same := target.ID == of.ID && (of.Run == 0 || target.Run == of.Run)
		whole := len(of.Names) == 0 && of.Exec == ""
		if !same || target.Exec != of.Exec && !whole {
			continue
		}
		for name, f := range set {
			if len(of.Names) == 0 || slices.Contains(of.Names, name) {
				gone = append(gone, f)
				delete(set, name)
			}
		}
		if len(set) == 0 {
			delete(h.sets, target)
		}
	}
	h.mu.Unlock()
	return protocol.CloseAll(gone)
}

// each hands every set to do. What is held stays held.
func (h *held) each(do func(protocol.Held, []*os.File) error) error {
	type entry struct {
		of    protocol.Held
		files []*os.File
	}
	var all []entry
	h.mu.Lock()
	for target, set := range h.sets {
		e := entry{of: protocol.Held{Target: target}}
		for name, f := range set {
			e.of.Names, e.files = append(e.of.Names, name), append(e.files, f)
		}
		all = append(all, e)
	}
	h.mu.Unlock()
	for _, e := range all {
		if err := do(e.of, e.files); err != nil {
			return err
		}
	}
	return nil
}

func (h *held) close() error {
	h.mu.Lock()
	sets := h.sets
	h.sets = map[protocol.Target]map[string]*os.File{}
	h.mu.Unlock()
	var errs []error
	for _, set := range sets {
		errs = append(errs, closeSet(set))
	}
	return errors.Join(errs...)
}

func closeSet(set map[string]*os.File) error {
	var errs []error
	for _, f := range set {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
