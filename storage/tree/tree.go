// Package tree compares directory trees and writes the difference as an image layer.
//
// Trees belong to containers that may run meanwhile and be hostile: they are
// walked by descriptors, no symbolic link is followed, and what vanishes is skipped.
package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/moby/go-archive"
)

// maxDepth bounds the descriptors that one walk holds. No path can name what lies
// deeper: PATH_MAX is 4096 bytes.
const maxDepth = 2048

// Upper lists what the upper directory of an overlay changes in base, sorted by
// path. Both directories must be open for reading. A directory is changed if its attributes are or something in it is.
func Upper(ctx context.Context, upper, base *os.File) ([]archive.Change, error) {
	return changes(ctx, upper, base, true)
}

// Compare lists what differs between base and now, sorted by path. base may be
// nil: everything is new. Files are equal if their attributes, size and time are.
func Compare(ctx context.Context, now, base *os.File) ([]archive.Change, error) {
	return changes(ctx, now, base, false)
}

func changes(ctx context.Context, now, base *os.File, overlay bool) ([]archive.Change, error) {
	w := walk{ctx: ctx, overlay: overlay}
	if _, err := w.dir("/", level{now: now, base: base}, 0); err != nil {
		return nil, err
	}
	sort.Slice(w.out, func(i, j int) bool { return w.out[i].Path < w.out[j].Path })
	return w.out, nil
}

type walk struct {
	ctx     context.Context // of one call
	overlay bool            // whiteouts and opaque directories have their meaning
	out     []archive.Change
}

// level is one directory in both trees.
type level struct {
	now, base *os.File // base is nil if there is none
	opaque    bool     // nothing of base shows through
}

// dir reports whether anything in the directory has changed.
func (w *walk) dir(name string, l level, depth int) (changed bool, err error) {
	if err := w.ctx.Err(); err != nil {
		return false, err
	}
	if depth > maxDepth {
		return false, fmt.Errorf("directories are nested deeper than %d", maxDepth)
	}
	names, err := l.now.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		seen[n] = true
		one, err := w.entry(path.Join(name, n), n, l, depth)
		if err != nil {
			return false, err
		}
		changed = changed || one
	}
	if l.base == nil || w.overlay && !l.opaque {
		return changed, nil
	}
	old, err := l.base.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	for _, n := range old {
		if !seen[n] {
			w.add(path.Join(name, n), archive.ChangeDelete)
			changed = true
		}
	}
	return changed, nil
}

func (w *walk) add(name string, kind archive.ChangeType) {
	w.out = append(w.out, archive.Change{Path: name, Kind: kind})
}

// entry compares one name of a directory.
func (w *walk) entry(full, name string, l level, depth int) (changed bool, err error) {
	var now, old unix.Stat_t
	if err := statAt(l.now, name, &now); err != nil {
		return false, ignoreMissing(err)
	}
	existed := false
	if l.base != nil {
		err := statAt(l.base, name, &old)
		if existed = err == nil; ignoreMissing(err) != nil {
			return false, err
		}
	}
	if w.overlay && isWhiteout(&now) {
		if existed {
			w.add(full, archive.ChangeDelete)
		}
		return existed, nil
	}
	kind := archive.ChangeType(archive.ChangeAdd)
	if existed {
		kind = archive.ChangeModify
		changed = !same(l, name, &now, &old)
	} else {
		changed = true
	}
	if now.Mode&unix.S_IFMT == unix.S_IFDIR {
		below, err := w.descend(full, name, l, existed && old.Mode&unix.S_IFMT == unix.S_IFDIR, depth)
		if err != nil {
			return false, ignoreMissing(err)
		}
		changed = changed || below
	}
	if changed {
		w.add(full, kind)
	}
	return changed, nil
}

func (w *walk) descend(full, name string, l level, inBase bool, depth int) (changed bool, err error) {
	var sub level
	if sub.now, err = openDirAt(l.now, name); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, sub.now.Close()) }()
	if inBase {
		if sub.base, err = openDirAt(l.base, name); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, sub.base.Close()) }()
	}
	sub.opaque = w.overlay && isOpaque(sub.now)
	return w.dir(full, sub, depth+1)
}

// same compares all that a layer records of a file, but for its content, which has changed if size or time has.
func same(l level, name string, a, b *unix.Stat_t) bool {
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev {
		return false
	}
	if a.Mode&unix.S_IFMT == unix.S_IFDIR {
		// A directory's time changes with its entries, which are compared.
		return capability(l.now, name) == capability(l.base, name)
	}
	return a.Size == b.Size && a.Mtim == b.Mtim && capability(l.now, name) == capability(l.base, name)
}
