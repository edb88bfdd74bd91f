// Package leftover finds what a snapshotter that died has left: directories
// that its database does not name.
package leftover

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
)

// Prefix of directories that only wait to be deleted.
const Prefix = "rm-"

// SetAside renames every directory in dir that meta does not name, so that its
// number can be given again; deleting is for later. Call it before the snapshotter is used.
func SetAside(ctx context.Context, meta *storage.MetaStore, dir string) error {
	known := map[string]string{}
	err := meta.WithTransaction(ctx, false, func(ctx context.Context) (err error) {
		known, err = storage.IDMap(ctx)
		if errdefs.IsNotFound(err) { // a new database
			err = nil
		}
		return err
	})
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for n, e := range entries {
		if _, ok := known[e.Name()]; ok || strings.HasPrefix(e.Name(), Prefix) {
			continue
		}
		aside := fmt.Sprintf("%s%s-%d-%d", Prefix, e.Name(), os.Getpid(), n)
		if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(dir, aside)); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes what SetAside has set aside.
func Delete(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), Prefix) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
