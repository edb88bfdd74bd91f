// Package volume keeps named and anonymous volumes.
//
// A volume is a directory of the data root that outlives the containers that mount it:
//
//	volumes/              0701, so that a user namespace's root can pass but not list
//	  metadata.db         bbolt, bucket "volumes": name -> {"Name","Driver","Labels","Options"}
//	  NAME/               0701
//	    opts.json         only with mount options: what to mount over _data
//	    _data/            0755, what containers see
//	  .new-*, .old-*      a volume in the making; one on its way out
//
// A holder keeps a volume from being removed: a container that has it among its mounts. A
// user is a container that has it mounted now. An anonymous volume has 64 hex digits for a
// name and the label com.docker.volume.anonymous.
package volume

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"gantry/events"

	"github.com/containerd/errdefs"
	apievents "github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/volume"
)

const (
	localDriver    = "local"
	anonymousLabel = "com.docker.volume.anonymous"
)

type Config struct {
	Root   string // data root; the room's own is Root/volumes
	Events *events.Journal
	// Owner of the data of new volumes: id 0 of the containers, userns-remap.
	UID, GID int
}

// Service makes, mounts, lists and removes volumes. Safe for concurrent use.
type Service struct {
	*store
	*mounter
	*lister
	db    *metadata
	trash *trash
}

// store is the volumes that there are. Every part of the service stands on it.
type store struct {
	cfg   Config
	dir   string
	turns turns // one operation at a time on a volume

	mu     sync.Mutex // guards byName, and in every entry: holders, users, removing
	byName map[string]*entry
}

// entry is one volume. Its facts never change.
type entry struct {
	name    string
	driver  string
	labels  map[string]string
	options map[string]string
	mount   *mountOptions // nil where _data is the volume itself
	created string        // RFC 3339

	holders  []*Holder      // in the order in which they came
	users    map[string]int // mounts by user
	removing bool
}

// Open reads what is there: volumes on record whose directory is gone are forgotten, directories
// without a record become volumes, and what a crash left half made or half removed goes.
func Open(ctx context.Context, cfg Config) (_ *Service, err error) {
	all := &store{cfg: cfg, dir: filepath.Join(cfg.Root, "volumes"), byName: map[string]*entry{}}
	s := &Service{store: all, mounter: &mounter{all}, lister: &lister{all}}
	if err := os.MkdirAll(s.dir, 0o701); err != nil {
		return nil, err
	}
	if err := os.Chmod(s.dir, 0o701); err != nil { // the umask took bits away
		return nil, err
	}
	if s.db, err = openMetadata(filepath.Join(s.dir, "metadata.db")); err != nil {
		return nil, err
	}
	if err := s.restore(ctx); err != nil {
		return nil, errors.Join(err, s.db.close())
	}
	if s.trash, err = openTrash(s.dir); err != nil {
		return nil, errors.Join(err, s.db.close())
	}
	return s, nil
}

// Close waits for what is being removed to stop; the rest of it goes at the next Open.
func (s *Service) Close(context.Context) error {
	s.trash.close()
	return s.db.close()
}

func (s *Service) restore(ctx context.Context) error {
	known, err := s.db.all()
	if err != nil {
		return err
	}
	for name, m := range known {
		if m.Driver != localDriver {
			s.byName[name] = &entry{name: name, driver: m.Driver, labels: m.Labels, options: m.Options}
			continue
		}
		e, err := s.readLocal(name, m)
		if errors.Is(err, os.ErrNotExist) {
			slog.WarnContext(ctx, "volume has no directory any more, so it is forgotten", "volume", name)
			err = s.db.remove(name)
		} else if err == nil {
			s.byName[name] = e
		}
		if err != nil {
			return err
		}
	}
	return s.restoreUnrecorded(ctx)
}

// restoreUnrecorded takes in directories that somebody copied here, or whose record was lost.
func (s *Service) restoreUnrecorded(ctx context.Context) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, d := range entries {
		name := d.Name()
		if !d.IsDir() || s.byName[name] != nil || checkName(name) != nil {
			continue
		}
		e, err := s.readLocal(name, record{})
		if err != nil {
			slog.WarnContext(ctx, "directory is not a volume", "path", filepath.Join(s.dir, name), "error", err)
			continue
		}
		s.byName[name] = e
	}
	return nil
}

// Inspect returns one volume. Errors: not found ("get NAME: no such volume").
func (s *store) Inspect(ctx context.Context, name string) (*volume.Volume, error) {
	s.mu.Lock()
	e := s.byName[name]
	s.mu.Unlock()
	switch {
	case e == nil:
		return nil, noSuchVolume(name)
	case e.driver != localDriver:
		return nil, noSuchDriver("get", name, e.driver)
	}
	v := s.describe(e)
	return &v, nil
}

func (s *store) describe(e *entry) volume.Volume {
	return volume.Volume{
		Name: e.name, Driver: e.driver, Mountpoint: s.data(e.name), CreatedAt: e.created,
		Labels: e.labels, Options: e.options, Scope: "local",
	}
}

// data is the directory that containers see.
func (s *store) data(name string) string { return filepath.Join(s.dir, name, "_data") }

func (s *store) publish(action apievents.Action, e *entry, attributes map[string]string) {
	if s.cfg.Events == nil {
		return
	}
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["driver"] = e.driver
	s.cfg.Events.Publish(apievents.VolumeEventType, action, apievents.Actor{ID: e.name, Attributes: attributes})
}

func noSuchVolume(name string) error {
	return errdefs.ErrNotFound.WithMessage("get " + name + ": no such volume")
}

func noSuchDriver(op, name, driver string) error {
	return errdefs.ErrNotFound.WithMessage(op + " " + name + `: error looking up volume plugin ` + driver + `: plugin "` + driver + `" not found`)
}
