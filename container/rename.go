package container

import (
	"context"
	"strings"

	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Rename gives a container another name. Errors: conflict, invalid argument.
func (s *Service) Rename(ctx context.Context, ref, name string) error {
	if ref == "" || name == "" {
		return invalid("Neither old nor new names may be empty")
	}
	if err := checkName(name); err != nil {
		return invalid("Error when allocating new name: " + err.Error())
	}
	name = strings.TrimPrefix(name, "/")
	c, err := s.locked(ctx, ref)
	if err != nil {
		return err
	}
	defer c.unlock()
	old := c.Record().Name
	if old == name {
		return invalid("Renaming a container with the same name as its current name")
	}
	if err := s.index.reserve(name, c.id); err != nil {
		return errdefs.ErrConflict.WithMessage("Error when allocating new name: " + err.Error())
	}
	if err := s.amend(c, func(r *record.Container) { r.Name = name }); err != nil {
		s.index.release(name)
		return err
	}
	s.index.release(old)
	s.Announce(c.Record(), events.ActionRename, map[string]string{"oldName": "/" + old})
	before := c.takeHolds()
	s.holdAgain(ctx, c, c.Record()) // who is refused the image or a volume reads the new name
	if err := release(context.WithoutCancel(ctx), before); err != nil {
		return err
	}
	if c.Record().Up() {
		return s.cfg.Networks.Renamed(context.WithoutCancel(ctx), c.id, name)
	}
	return nil
}
