package adopt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gantry/internal/atomicfile"
	"gantry/internal/fault"

	"github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// relocation is the file in a data root that is being filled: it names where from.
const relocation = "relocation"

// copying is the prefix of what is being copied.
const copying = ".copying-"

// stays lists what belongs to the place and not to the data.
var stays = [...]string{"gantry.lock", "tmp", relocation}

// Relocate brings everything in the data root from to the directory to, which is absent, empty, or was being filled from
// the same place: by rename, or by copying, which leaves from as it is. It can be called again after a crash.
// Errors: failed precondition (to holds something else; another file system).
func Relocate(ctx context.Context, from, to string, byCopy bool) error {
	if err := os.MkdirAll(to, 0o710); err != nil {
		return err
	}
	if err := CanRelocate(from, to, byCopy); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(to, relocation), []byte(from), 0o600); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	// The image store last: it is what a data root is recognised by.
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int { return rank(a) - rank(b) })
	for _, e := range entries {
		if slices.Contains(stays[:], e.Name()) {
			continue
		}
		if err := relocate(ctx, from, to, e.Name(), byCopy); err != nil {
			return err
		}
		fault.Point("adopt.relocate.entry")
	}
	return errors.Join(atomicfile.SyncDir(from), atomicfile.SyncDir(to))
}

// EndRelocation says that to is a data root now. Until then no engine of ours opens it.
func EndRelocation(to string) error {
	return errors.Join(os.Remove(filepath.Join(to, relocation)), atomicfile.SyncDir(to))
}

func rank(e os.DirEntry) int {
	if e.Name() == "image" {
		return 1
	}
	return 0
}

func relocate(ctx context.Context, from, to, name string, byCopy bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !byCopy {
		return os.Rename(filepath.Join(from, name), filepath.Join(to, name))
	}
	if has(filepath.Join(to, name)) {
		return nil // of an earlier call: it was renamed when it was complete
	}
	part := filepath.Join(to, copying+name)
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := copyTree(part, filepath.Join(from, name)); err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Join(from, name), err)
	}
	fault.Point("adopt.relocate.copied")
	return os.Rename(part, filepath.Join(to, name))
}

// copyTree copies with owners, modes, times, extended attributes, devices and hard links, durably.
func copyTree(to, from string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = fs.CopyDir(to, from)
	} else {
		err = fs.CopyFile(to, from)
	}
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}

// Relocating reports whether dir was being filled from the data root from, when that was interrupted.
func Relocating(from, dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, relocation))
	return err == nil && string(data) == from
}

// CanRelocate says why Relocate would not begin; it changes nothing. Errors: failed precondition.
func CanRelocate(from, to string, byCopy bool) error {
	if strings.HasPrefix(to+"/", from+"/") {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("%s is inside of %s", to, from))
	}
	entries, err := readDir(to)
	if err != nil {
		return err
	}
	filled := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !slices.Contains(stays[:], e.Name()) })
	if filled && !Relocating(from, to) {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"%s holds something already: name an empty directory, or if it is a data root, take it over where it is (gantry migrate --from %s)", to, to))
	}
	if byCopy {
		return nil
	}
	target := to
	for !has(target) {
		target = filepath.Dir(target)
	}
	paths := []string{from}
	below, err := os.ReadDir(from)
	for _, e := range below {
		paths = append(paths, filepath.Join(from, e.Name()))
	}
	for _, p := range paths {
		if !sameFileSystem(p, target) {
			return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
				"%s and %s are on different file systems: what is there cannot be renamed; take it over where it is (without --to), or copy it (--copy)", p, to))
		}
	}
	return err
}

// sameFileSystem reports whether things can be renamed from one to the other.
func sameFileSystem(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Lstat(a, &x) == nil && unix.Lstat(b, &y) == nil && x.Dev == y.Dev
}

// HoldsContainerd reports whether a data root has images of the containerd image store, which is gantry's own too.
func HoldsContainerd(dir string) bool {
	const snapshotters = "containerd/daemon/io.containerd.snapshotter.v1.*/metadata.db"
	found, _ := filepath.Glob(filepath.Join(dir, snapshotters)) // the pattern is good
	return len(found) > 0 && has(filepath.Join(dir, "containerd/daemon/io.containerd.metadata.v1.bolt/meta.db"))
}

// Busy names what shows that another engine has the data root open; "" if nothing does.
func Busy(dir string) string {
	for _, name := range databases {
		if locked(filepath.Join(dir, name)) {
			return filepath.Join(dir, name)
		}
	}
	return ""
}
