package volume

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gantry/internal/atomicfile"
	"gantry/internal/fault"
	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	apievents "github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/volume"
)

// Remove removes an unused volume; force makes a missing one no error. Its data is gone for everybody
// when Remove returns; the space comes back soon after. Errors: not found, conflict
// ("remove NAME: volume is in use - [container IDs]").
func (s *Service) Remove(ctx context.Context, name string, force bool) error {
	done, err := s.turns.take(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	e, err := s.claim(name)
	if err != nil {
		if force && errors.Is(err, errdefs.ErrNotFound) {
			return nil
		}
		return err
	}
	if err := s.unname(e); err != nil {
		s.mu.Lock()
		e.removing = false
		s.mu.Unlock()
		return fmt.Errorf("remove %s: %w", name, err)
	}
	s.mu.Lock()
	delete(s.byName, name)
	s.mu.Unlock()
	s.publish(apievents.ActionDestroy, e, nil)
	s.trash.wake()
	return nil
}

// claim marks a volume that nobody holds, so that nobody does from now on.
func (s *Service) claim(name string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[name]
	switch {
	case e == nil:
		return nil, noSuchVolume(name)
	case e.driver != localDriver:
		return nil, noSuchDriver("remove", name, e.driver)
	case len(e.holders) > 0:
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("remove %s: volume is in use - [%s]", name, strings.Join(e.heldBy(), ", ")))
	case len(e.users) > 0:
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("remove %s: volume is in use", name))
	}
	e.removing = true
	return e, nil
}

// unname takes the directory out of sight, then the record away. A crash in between leaves a record
// without a directory, which Open forgets.
func (s *Service) unname(e *entry) error {
	if err := s.unmount(e); err != nil {
		return err
	}
	err := os.Rename(filepath.Join(s.dir, e.name), filepath.Join(s.dir, trashPrefix+rand.Text()))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := atomicfile.SyncDir(s.dir); err != nil {
		return err
	}
	fault.Point("volume.remove.rename")
	if err := s.db.remove(e.name); err != nil {
		return err
	}
	fault.Point("volume.remove.record")
	return nil
}

// Prune removes unused anonymous volumes, or all unused ones with the filter all=true.
func (s *Service) Prune(ctx context.Context, f filter.Args) (volume.PruneReport, error) {
	report := volume.PruneReport{VolumesDeleted: []string{}}
	if err := f.Validate("label", "label!", "all"); err != nil {
		return report, err
	}
	all, err := f.Bool("all", false)
	if err != nil {
		return report, err
	}
	for _, e := range s.unused() {
		_, isAnonymous := e.labels[anonymousLabel]
		excluded := f.Has("label!") && f.Labels("label!", e.labels)
		if !all && !isAnonymous || excluded || !f.Labels("label", e.labels) {
			continue
		}
		size := s.size(ctx, e)
		if err := ctx.Err(); err != nil {
			return report, err
		}
		if err := s.Remove(ctx, e.name, false); err != nil {
			slog.WarnContext(ctx, "volume not pruned", "volume", e.name, "error", err)
			continue
		}
		report.VolumesDeleted = append(report.VolumesDeleted, e.name)
		report.SpaceReclaimed += uint64(max(size, 0))
	}
	if s.cfg.Events != nil {
		s.cfg.Events.Publish(apievents.VolumeEventType, apievents.ActionPrune, apievents.Actor{
			Attributes: map[string]string{"reclaimed": strconv.FormatUint(report.SpaceReclaimed, 10)},
		})
	}
	return report, nil
}
