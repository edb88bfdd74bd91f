package container

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// index finds containers by ID, name and ID prefix. A name is reserved before its
// container exists, so that two creates cannot both have it.
type index struct {
	mu     sync.RWMutex // guards all below
	byID   map[string]*Container
	byName map[string]string // name to ID
	sorted []string          // IDs, for prefixes
}

func (x *index) init() {
	x.byID, x.byName = map[string]*Container{}, map[string]string{}
}

func (x *index) all() []*Container {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]*Container, 0, len(x.byID))
	for _, c := range x.byID {
		out = append(out, c)
	}
	return out
}

// reserve takes a name for an ID. Errors: conflict, in dockerd's words.
func (x *index) reserve(name, id string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if holder, taken := x.byName[name]; taken && holder != id {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, holder))
	}
	x.byName[name] = id
	return nil
}

func (x *index) release(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byName, name)
}

func (x *index) add(c *Container) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byID[c.id] = c
	at, _ := slices.BinarySearch(x.sorted, c.id)
	x.sorted = slices.Insert(x.sorted, at, c.id)
}

// remove takes the container and all of its names out.
func (x *index) remove(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byID, id)
	if at, ok := slices.BinarySearch(x.sorted, id); ok {
		x.sorted = slices.Delete(x.sorted, at, at+1)
	}
	for name, holder := range x.byName {
		if holder == id {
			delete(x.byName, name)
		}
	}
}

func (x *index) get(ref string) (*Container, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if c := x.byID[ref]; c != nil {
		return c, nil
	}
	if c := x.byID[x.byName[strings.TrimPrefix(ref, "/")]]; c != nil {
		return c, nil
	}
	notFound := errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	if ref == "" {
		return nil, notFound
	}
	at, _ := slices.BinarySearch(x.sorted, ref)
	if at == len(x.sorted) || !strings.HasPrefix(x.sorted[at], ref) {
		return nil, notFound
	}
	if at+1 < len(x.sorted) && strings.HasPrefix(x.sorted[at+1], ref) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("multiple IDs found with provided prefix: " + ref)
	}
	return x.byID[x.sorted[at]], nil
}

// Get finds a container by ID, name or unambiguous ID prefix. Errors: not found ("No such container: web"),
// invalid argument (an ambiguous prefix).
func (s *records) Get(ref string) (*Container, error) { return s.index.get(ref) }

// locked finds a container and takes its operation lock, which the caller
// releases with c.unlock. A container that was removed meanwhile is not found.
func (s *records) locked(ctx context.Context, ref string) (*Container, error) {
	c, err := s.index.get(ref)
	if err != nil {
		return nil, err
	}
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	if c.Gone() {
		c.unlock()
		return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	return c, nil
}
