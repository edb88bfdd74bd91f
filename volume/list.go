package volume

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"gantry/internal/filter"

	"github.com/moby/moby/api/types/volume"
)

// lister answers questions about all volumes.
type lister struct{ *store }

// List returns the volumes that match, by name. Filters: name, label, driver, dangling.
func (s *lister) List(ctx context.Context, f filter.Args) (volume.ListResponse, error) {
	if err := f.Validate("dangling", "driver", "label", "name"); err != nil {
		return volume.ListResponse{}, err
	}
	dangling, err := f.Bool("dangling", false)
	if err != nil {
		return volume.ListResponse{}, err
	}
	out := []volume.Volume{}
	for _, e := range s.sorted() {
		if f.Fuzzy("name", e.name) && f.Exact("driver", e.driver) && f.Labels("label", e.labels) &&
			(!f.Has("dangling") || dangling == s.isUnused(e)) {
			out = append(out, s.describe(e))
		}
	}
	return volume.ListResponse{Volumes: out}, nil
}

// sorted returns the local volumes by name.
func (s *store) sorted() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*entry
	for _, e := range s.byName {
		if e.driver == localDriver {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	return out
}

func (s *store) names() []string {
	var out []string
	for _, e := range s.sorted() {
		out = append(out, e.name)
	}
	return out
}

func (s *lister) unused() []*entry {
	return slices.DeleteFunc(s.sorted(), func(e *entry) bool { return !s.isUnused(e) })
}

func (s *store) isUnused(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(e.holders) == 0
}

func (s *lister) references(e *entry) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(e.heldBy()))
}

// DiskUsage is the volumes' part of system df. It walks every volume: O(files).
func (s *lister) DiskUsage(ctx context.Context, verbose bool) (*volume.DiskUsage, error) {
	usage := &volume.DiskUsage{}
	for _, e := range s.sorted() {
		size := s.size(ctx, e)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		refs := s.references(e)
		usage.TotalCount++
		if refs > 0 {
			usage.ActiveCount++
		}
		if size > 0 {
			usage.TotalSize += size
			if refs == 0 {
				usage.Reclaimable += size
			}
		}
		if verbose {
			v := s.describe(e)
			v.UsageData = &volume.UsageData{RefCount: refs, Size: size}
			usage.Items = append(usage.Items, v)
		}
	}
	return usage, nil
}

// size is the apparent size of a volume's files in bytes, each inode once; -1 for one that is a mount of
// something else, which may be a server that does not answer. A file that goes away meanwhile does not count.
func (s *lister) size(ctx context.Context, e *entry) int64 {
	if e.mount.needed() {
		return -1
	}
	var total int64
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	_ = filepath.WalkDir(s.data(e.name), func(_ string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			key := inode{uint64(st.Dev), st.Ino}
			if seen[key] {
				return nil
			}
			seen[key] = true
		}
		total += info.Size()
		return nil
	})
	return total
}
