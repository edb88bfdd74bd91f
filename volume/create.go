package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"gantry/internal/atomicfile"
	"gantry/internal/fault"

	"github.com/containerd/errdefs"
	apievents "github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

// nameFormat is that of all names in Docker.
var nameFormat = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func checkName(name string) error {
	if len(name) == 1 {
		return errdefs.ErrInvalidArgument.WithMessage("create " + name + ": volume name is too short, names should be at least two alphanumeric characters")
	}
	if !nameFormat.MatchString(name) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("create %s: %q includes invalid characters for a local volume name, only %q are allowed. "+
			"If you intended to pass a host directory, use absolute path", name, name, "[a-zA-Z0-9][a-zA-Z0-9_.-]"))
	}
	return nil
}

// Create makes a volume, or returns the one of that name if its driver agrees: as in dockerd, labels
// and options of an existing one are left as they are.
// An empty name makes an anonymous one: 64 hex digits and the label com.docker.volume.anonymous.
// Errors: invalid argument (name, option), conflict (another driver), not found (driver).
func (s *Service) Create(ctx context.Context, o volume.CreateRequest) (*volume.Volume, error) {
	e, err := s.create(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	v := s.describe(e)
	return &v, nil
}

// CreateHeld is Create and Hold in one: no prune comes in between.
func (s *Service) CreateHeld(ctx context.Context, o volume.CreateRequest, h Holder) (*volume.Volume, func(context.Context) error, error) {
	e, err := s.create(ctx, o, &h)
	if err != nil {
		return nil, nil, err
	}
	v := s.describe(e)
	return &v, s.releaser(e, &h), nil
}

func (s *Service) create(ctx context.Context, o volume.CreateRequest, h *Holder) (*entry, error) {
	if o.ClusterVolumeSpec != nil {
		return nil, errdefs.ErrNotImplemented.WithMessage("cluster volumes need swarm mode, which has not landed in gantry yet")
	}
	if o.Name == "" {
		o = anonymous(o)
	}
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	done, err := s.turns.take(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	defer done()
	e, err := s.existing(o, h)
	if e != nil || err != nil {
		return e, err
	}
	return s.make(ctx, o, h)
}

// existing returns the volume of that name, if there is one and it will do, held by h.
func (s *Service) existing(o volume.CreateRequest, h *Holder) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[o.Name]
	switch {
	case e == nil:
		return nil, nil
	case o.Driver != "" && o.Driver != e.driver:
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("create %s: driver '%s' already has volume '%s': volume name must be unique", o.Name, e.driver, o.Name))
	case e.driver != localDriver:
		return nil, noSuchDriver("create", o.Name, e.driver)
	}
	if h != nil {
		e.holders = append(e.holders, h)
	}
	return e, nil
}

func anonymous(o volume.CreateRequest) volume.CreateRequest {
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand
	o.Name = hex.EncodeToString(id[:])
	labels := map[string]string{anonymousLabel: ""}
	for k, v := range o.Labels {
		labels[k] = v
	}
	o.Labels = labels
	return o
}

// make has the name to itself. A crash before the rename leaves nothing that has the volume's
// name: a directory that Open removes, and maybe a record without a directory, which it forgets.
func (s *Service) make(ctx context.Context, o volume.CreateRequest, h *Holder) (_ *entry, err error) {
	if o.Driver != "" && o.Driver != localDriver {
		return nil, noSuchDriver("create", o.Name, o.Driver)
	}
	e := &entry{name: o.Name, driver: localDriver, labels: o.Labels, options: o.DriverOpts, created: time.Now().Format(time.RFC3339)}
	if h != nil {
		e.holders = []*Holder{h}
	}
	if e.mount, err = parseOptions(o.DriverOpts); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("create " + o.Name + ": " + err.Error())
	}
	draft, err := s.draft(e)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create %s: %w", o.Name, err), removeDraft(draft))
	}
	fault.Point("volume.create.data")
	if err := s.db.put(record{Name: e.name, Driver: e.driver, Labels: e.labels, Options: e.options}); err != nil {
		return nil, errors.Join(err, removeDraft(draft))
	}
	fault.Point("volume.create.record")
	// Never over a directory that is there: somebody may have made it just now.
	if err := unix.Renameat2(unix.AT_FDCWD, draft, unix.AT_FDCWD, filepath.Join(s.dir, e.name), unix.RENAME_NOREPLACE); err != nil {
		return nil, errors.Join(fmt.Errorf("create %s: %w", o.Name, err), s.db.remove(e.name), removeDraft(draft))
	}
	fault.Point("volume.create.rename")
	if err := atomicfile.SyncDir(s.dir); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.byName[e.name] = e
	s.mu.Unlock()
	s.publish(apievents.ActionCreate, e, nil)
	return e, nil
}

// draft makes the volume's directory under another name, durably.
func (s *Service) draft(e *entry) (dir string, err error) {
	if dir, err = os.MkdirTemp(s.dir, draftPrefix+"*"); err != nil {
		return "", err
	}
	data := filepath.Join(dir, "_data")
	if err := os.Mkdir(data, 0o755); err != nil {
		return dir, err
	}
	if err := os.Chown(data, s.cfg.UID, s.cfg.GID); err != nil {
		return dir, err
	}
	for path, mode := range map[string]os.FileMode{data: 0o755, dir: 0o701} {
		if err := os.Chmod(path, mode); err != nil { // the umask took bits away
			return dir, err
		}
	}
	if e.mount != nil {
		if err := e.mount.save(dir); err != nil {
			return dir, err
		}
	}
	return dir, atomicfile.SyncDir(dir)
}

func removeDraft(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}
