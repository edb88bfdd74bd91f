package tree

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/moby/go-archive"
)

// blockSize is the unit of st_blocks, stat(2).
const blockSize = 512

// Usage returns the disk space and inodes of a tree. Hard links count once.
func Usage(ctx context.Context, dir *os.File) (bytes, inodes int64, err error) {
	u := usage{ctx: ctx, seen: map[uint64]bool{}}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return 0, 0, err
	}
	u.count(&st)
	err = u.dir(dir, 0)
	return u.bytes, u.inodes, err
}

// ChangedUsage returns the disk space and inodes of the files in dir that changes lists.
func ChangedUsage(ctx context.Context, dir *os.File, changes []archive.Change) (bytes, inodes int64, err error) {
	u := usage{ctx: ctx, seen: map[uint64]bool{}}
	p := parents{root: dir}
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return 0, 0, errors.Join(err, p.close())
		}
		if c.Kind == archive.ChangeDelete {
			continue
		}
		parent, name, err := p.of(c.Path)
		var st unix.Stat_t
		if err == nil {
			err = statAt(parent, name, &st)
		}
		if err == nil {
			u.count(&st)
		} else if ignoreMissing(err) != nil {
			return 0, 0, errors.Join(err, p.close())
		}
	}
	return u.bytes, u.inodes, p.close()
}

type usage struct {
	ctx           context.Context // of one call
	bytes, inodes int64
	seen          map[uint64]bool // inodes with several links
}

func (u *usage) count(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if u.seen[st.Ino] {
			return
		}
		u.seen[st.Ino] = true
	}
	u.bytes += st.Blocks * blockSize
	u.inodes++
}

func (u *usage) dir(dir *os.File, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("directories are nested deeper than %d", maxDepth)
	}
	if err := u.ctx.Err(); err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		var st unix.Stat_t
		if err := statAt(dir, n, &st); err != nil {
			if ignoreMissing(err) == nil {
				continue
			}
			return err
		}
		u.count(&st)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		sub, err := openDirAt(dir, n)
		if err == nil {
			err = errors.Join(u.dir(sub, depth+1), sub.Close())
		}
		if ignoreMissing(err) != nil {
			return err
		}
	}
	return nil
}
