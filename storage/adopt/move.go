package adopt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gantry/internal/atomicfile"
	"gantry/internal/fault"
	"gantry/storage"

	"github.com/opencontainers/go-digest"
)

// Store takes the layers.
type Store interface {
	AdoptLayer(ctx context.Context, l storage.Unpacked) (storage.ChainID, error)
	AdoptRW(ctx context.Context, id string, parent storage.ChainID, dir string) error
}

// MoveLayers hands the images' layers over, parents first. It can be called again after a crash.
func (r *Root) MoveLayers(ctx context.Context, to Store) error {
	done := map[storage.ChainID]bool{"": true}
	var move func(l Layer) error
	move = func(l Layer) error {
		if done[l.Chain] {
			return nil
		}
		if !done[l.Parent] {
			if err := move(r.Layers[l.Parent]); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := to.AdoptLayer(ctx, storage.Unpacked{Parent: l.Parent, Layer: l.Diff, Dir: r.overlay(l.CacheID, "diff"), Split: r.split(l.Chain)})
		done[l.Chain] = true
		return err
	}
	for _, c := range slices.Sorted(maps.Keys(r.Layers)) {
		if err := move(r.Layers[c]); err != nil {
			return err
		}
	}
	return nil
}

// MoveRW hands a container's rw layer over.
func (r *Root) MoveRW(ctx context.Context, to Store, c Container) error {
	return to.AdoptRW(ctx, c.ID, c.Chain, r.overlay(c.MountID, "diff"))
}

// Archive ends the adoption: it deletes what is empty now, and moves what is left of the classic image store, and the
// account, to the directory that it returns. The data root is no classic one any more then.
func (r *Root) Archive() (string, error) {
	dir := filepath.Join(r.Dir, "adopted", r.Begun.Format("20060102-150405"))
	return dir, r.archive(dir)
}

func (r *Root) archive(dir string) error {
	for _, id := range slices.Sorted(maps.Keys(r.CacheIDs)) {
		if id == "" {
			continue
		}
		if err := r.dropShell(id); err != nil {
			return err
		}
	}
	fault.Point("adopt.archive.shells")
	if entries, err := os.ReadDir(r.overlay()); err == nil && (len(entries) == 0 || len(entries) == 1 && entries[0].Name() == "l") {
		if err := os.RemoveAll(r.overlay()); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := r.account(dir); err != nil {
		return err
	}
	for _, name := range []string{"buildkit", "image", journal} {
		err := os.Rename(filepath.Join(r.Dir, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		fault.Point("adopt.archive." + name)
	}
	return errors.Join(atomicfile.SyncDir(dir), atomicfile.SyncDir(r.Dir))
}

// dropShell deletes the directory that a layer was in, and the link to it. One that still has the layer is an error.
func (r *Root) dropShell(id string) error {
	dir := r.overlay(id)
	diff := filepath.Join(dir, "diff")
	entries, err := os.ReadDir(diff)
	if err == nil && !strings.HasSuffix(id, "-init") && len(entries) > 0 {
		return fmt.Errorf("%s has not been carried over", diff)
	}
	if link, err := readLine(filepath.Join(dir, "link")); err == nil && isName(link) {
		if err := os.Remove(r.overlay("l", link)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// Plan lists what is carried over, one line each, exactly.
func (r *Root) Plan() []string {
	var out []string
	for _, i := range r.Images {
		names := "without a name"
		if len(i.Names) > 0 {
			names = strings.Join(i.Names, ", ")
		}
		out = append(out, fmt.Sprintf("image %s of %d layers: %s", short(i.ID), len(i.Diffs), names))
	}
	for _, c := range slices.Sorted(maps.Keys(r.Layers)) {
		l := r.Layers[c]
		out = append(out, fmt.Sprintf("layer %s, %d bytes: from %s", short(digest.Digest(l.Diff)), l.Size, r.overlay(l.CacheID, "diff")))
	}
	for _, c := range r.Containers {
		out = append(out, fmt.Sprintf("container %s (%s): writable layer from %s", c.Name, shortID(c.ID), r.overlay(c.MountID, "diff")))
	}
	for _, v := range r.Volumes {
		out = append(out, fmt.Sprintf("volume %s: stays where it is", v))
	}
	return append(out, "networks: network/files/local-kv.db stays where it is")
}

// account writes to a file what was carried over and what was not.
func (r *Root) account(dir string) error {
	lines := append([]string{"Taken over from Docker's classic image store, begun " + r.Begun.Format(time.RFC3339) + ":"}, r.Plan()...)
	if len(r.Left) > 0 {
		lines = append(append(lines, "", "Not carried over:"), r.Left...)
	}
	return atomicfile.Write(filepath.Join(dir, "account.txt"), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}
