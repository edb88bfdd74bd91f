package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"gantry/config"
	"gantry/container/record"
	"gantry/image"
	"gantry/internal/fault"
	"gantry/storage"
	"gantry/storage/adopt"
	"gantry/storage/overlay"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
)

// openSurvey is surveyed for the daemon, whose storage driver may be one that cannot take the layers.
func openSurvey(ctx context.Context, cfg *config.Config) (*adopt.Root, error) {
	r, err := surveyed(ctx, cfg.DataRoot)
	driver := cmp.Or(os.Getenv("DOCKER_DRIVER"), cfg.Storage.Driver)
	if r != nil && driver != "" && driver != adopt.Driver && driver != overlay.Name {
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"the data root %s has layers of Docker's overlay2, and the storage driver %s cannot take them over: set storage-driver to overlayfs, or to nothing", r.Dir, driver))
	}
	return r, err
}

// surveyed is the data root as it is found: nil if there is nothing to adopt. It comes before anything
// is written, because a data root that is refused has to stay as it is.
func surveyed(_ context.Context, dir string) (*adopt.Root, error) {
	r, err := adopt.Survey(dir)
	if err != nil || r == nil {
		return nil, err
	}
	if len(r.Refusals) > 0 {
		return nil, errdefs.ErrFailedPrecondition.WithMessage("the data root cannot be taken over:\n" + strings.Join(r.Refusals, "\n"))
	}
	return r, nil
}

type migration struct {
	root   *adopt.Root // nil: nothing to do
	layers *storage.Service
	images *image.Service
	log    *slog.Logger
}

// migrate adopts a classic data root. A killed one goes on at the next start.
func migrate(ctx context.Context, m migration) error {
	if m.root == nil {
		return nil
	}
	adoption, err := m.layers.Adoption()
	if err != nil {
		return err
	}
	m.log.Info("taking over the data root of Docker's classic image store", "images", len(m.root.Images), "layers", len(m.root.Layers), "containers", len(m.root.Containers))
	if err := m.root.Begin(); err != nil {
		return err
	}
	if err := adoption.Begin(ctx); err != nil {
		return err
	}
	if err := m.root.MoveLayers(ctx, adoption); err != nil {
		return err
	}
	images, err := m.adoptImages(ctx)
	if err != nil {
		return err
	}
	fault.Point("migration.images")
	if err := m.adoptContainers(ctx, adoption, images); err != nil {
		return err
	}
	fault.Point("migration.containers")
	if err := adoption.End(ctx); err != nil {
		return err
	}
	fault.Point("migration.lease")
	archive, err := m.root.Archive()
	if err != nil {
		return err
	}
	for _, line := range m.root.Left {
		m.log.Warn("not carried over", "what", line)
	}
	m.log.Info("data root taken over", "archive", archive)
	return nil
}

// adoptImages returns the images by the IDs that they had: the digests of their configs.
func (m migration) adoptImages(ctx context.Context) (map[string]*image.Image, error) {
	out := map[string]*image.Image{}
	for _, i := range m.root.Images {
		found, err := m.images.Adopt(ctx, image.Adopted{Config: i.Config, Layers: i.Diffs, Names: i.Names})
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", i.ID, err)
		}
		out[i.ID.String()] = found
	}
	return out, nil
}

func (m migration) adoptContainers(ctx context.Context, adoption *storage.Adoption, images map[string]*image.Image) error {
	driver, _ := m.layers.Driver()
	for _, c := range m.root.Containers {
		if err := m.root.MoveRW(ctx, adoption, c); err != nil {
			return err
		}
		err := record.Rewrite(filepath.Join(m.root.Dir, "containers", c.ID), func(r *record.Container) {
			r.Driver, r.Chain = driver, c.Chain
			moved(r, m.root.Dir)
			if i := images[c.Image]; i != nil {
				r.ImageID, r.ImageManifest, r.Platform = i.ID, &i.Manifest, i.Platform
			}
		})
		if err != nil {
			return fmt.Errorf("container %s: %w", c.ID, err)
		}
		fault.Point("migration.record")
	}
	return nil
}

// moved sets the paths in a record to where the data root is now.
func moved(r *record.Container, root string) {
	if r.LogPath != "" {
		r.LogPath = filepath.Join(root, "containers", r.ID, filepath.Base(r.LogPath))
	}
	for _, m := range r.Mounts {
		if m.Type == mount.TypeVolume && m.Driver == "local" && m.Source != "" {
			m.Source = filepath.Join(root, "volumes", m.Name, "_data")
		}
	}
}

// MigrateOptions of Migrate.
type MigrateOptions struct {
	From, To string // data roots; To may be From
	Copy     bool   // leave From as it is
	DryRun   bool   // only say what would be done
	Out      io.Writer
	Log      *slog.Logger
}

// Migrate takes a Docker data root over while no engine has it open, and says what it does. Killed, it goes on when
// it is called again. Errors: failed precondition, with the reasons; nothing has been changed then.
func Migrate(ctx context.Context, o MigrateOptions) error {
	if o.To != o.From && !adopt.UnderWay(o.To) {
		if err := o.relocate(ctx); err != nil || o.DryRun {
			return err
		}
	}
	root, err := surveyed(ctx, o.To)
	if err != nil {
		return err
	}
	if root == nil {
		return o.nothingClassic(o.To)
	}
	if err := o.tell(root, o.From); err != nil || o.DryRun {
		return err
	}
	return o.adopt(ctx, root)
}

// relocate brings the data to o.To.
func (o MigrateOptions) relocate(ctx context.Context) error {
	root, err := surveyed(ctx, o.From)
	if err != nil {
		return err
	}
	if busy := adopt.Busy(o.From); busy != "" {
		return errdefs.ErrFailedPrecondition.WithMessage("an engine has " + busy + " open: stop it first")
	}
	if root == nil && !adopt.HoldsContainerd(o.From) && !adopt.Relocating(o.From, o.To) {
		if classic, err := surveyed(ctx, o.To); err != nil || classic != nil {
			return err // what is there was moved by an earlier call
		}
		return o.nothingClassic(o.From)
	}
	if err := adopt.CanRelocate(o.From, o.To, o.Copy); err != nil {
		return err
	}
	how := "moved"
	if o.Copy {
		how = "copied"
	}
	if _, err := fmt.Fprintf(o.Out, "Everything in %s is %s to %s.\n", o.From, how, o.To); err != nil {
		return err
	}
	if o.DryRun {
		if root == nil {
			return nil
		}
		return o.tell(root, o.From)
	}
	if err := adopt.Relocate(ctx, o.From, o.To, o.Copy); err != nil {
		return err
	}
	if err := o.moveRecords(); err != nil {
		return err
	}
	return adopt.EndRelocation(o.To)
}

// moveRecords sets the paths in the records of all containers.
func (o MigrateOptions) moveRecords() error {
	dirs, err := filepath.Glob(filepath.Join(o.To, "containers", "*", record.ConfigFile))
	for _, file := range dirs {
		if err := record.Rewrite(filepath.Dir(file), func(r *record.Container) { moved(r, o.To) }); err != nil {
			o.Log.Warn("record of a container cannot be read", "path", file, "error", err)
		}
	}
	return err
}

// nothingClassic is for a directory without a classic image store.
func (o MigrateOptions) nothingClassic(dir string) error {
	if !adopt.HoldsContainerd(dir) {
		return errdefs.ErrNotFound.WithMessage(dir + " holds no images of Docker: neither image/overlay2 nor containerd/daemon has any; " +
			"a Docker that uses the containerd of the system keeps them in /var/lib/containerd: docker save them there")
	}
	_, err := fmt.Fprintf(o.Out, "%s is a data root of the containerd image store, as gantry's own are: start gantryd on it.\n", dir)
	return err
}

// tell lists what is carried over and what is not.
func (o MigrateOptions) tell(root *adopt.Root, dir string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is a data root of Docker's classic image store. Carried over:\n", dir)
	for _, line := range root.Plan() {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	if len(root.Left) > 0 {
		b.WriteString("Not carried over:\n")
	}
	for _, line := range root.Left {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	fmt.Fprintf(&b, "What is left of image/ and buildkit/ goes to adopted/, with this account.\n")
	if o.DryRun {
		b.WriteString("This was a dry run: nothing has been changed.\n")
	}
	_, err := io.WriteString(o.Out, b.String())
	return err
}

// adopt does what the daemon does at its start.
func (o MigrateOptions) adopt(ctx context.Context, root *adopt.Root) (err error) {
	lock, err := lockFile(filepath.Join(root.Dir, "gantry.lock"))
	if err != nil {
		return fmt.Errorf("data root %s is in use by another daemon: %w", root.Dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	layers, err := storage.Open(ctx, storage.Config{Root: root.Dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, layers.Close(context.WithoutCancel(ctx))) }()
	images, err := image.Open(ctx, image.Config{Storage: layers})
	if err != nil {
		return err
	}
	if err := migrate(ctx, migration{root, layers, images, o.Log}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "Done. Start gantryd with --data-root %s.\n", root.Dir)
	return errors.Join(err, images.Close(ctx))
}
