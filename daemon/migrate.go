package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"gantry/container/record"
	"gantry/image"
	"gantry/internal/fault"
	"gantry/storage"
	"gantry/storage/adopt"

	"github.com/containerd/errdefs"
)

// surveyed is the data root as the daemon finds it: nil if there is nothing to adopt. It comes before anything
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
