// Package atomicfile replaces whole files so that a reader, or a machine that
// lost power, sees the old content or the new one and never a mixture.
package atomicfile

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Write replaces the file at path with data: a temporary file in the same
// directory is written, synced and renamed over path, and the directory is
// synced, so the new content is durable when Write returns.
func Write(path string, data []byte, mode os.FileMode) error {
	return write(path, data, mode, true)
}

// WriteVolatile is Write without the two syncs: atomic for readers, not
// durable across a power failure. It is for files that are rebuilt at every
// start of a container or of the machine.
func WriteVolatile(path string, data []byte, mode os.FileMode) error {
	return write(path, data, mode, false)
}

func write(path string, data []byte, mode os.FileMode, durable bool) (err error) {
	temporary, err := stage(path, data, mode, durable)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if durable {
		return SyncDir(filepath.Dir(path))
	}
	return nil
}

// prefix is that of temporary files.
const prefix = ".tmp-"

// Temporary reports whether a name is that of a file that was never finished.
func Temporary(name string) bool { return strings.HasPrefix(name, prefix) }

// stage writes a temporary file beside path.
func stage(path string, data []byte, mode os.FileMode, durable bool) (temporary string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), prefix+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return f.Name(), nil
}

// Staged are files of one directory whose contents are durable and that do not have their names yet.
type Staged struct {
	dir   string
	pairs [][2]string // temporary name, name
}

// Stage writes files of a directory, by name, all at once: on most file systems their syncs are one. Name finishes
// it, or Discard undoes it.
func Stage(dir string, files map[string][]byte, mode os.FileMode) (*Staged, error) {
	s := &Staged{dir: dir}
	var mu sync.Mutex // guards s.pairs and errs
	var errs []error
	var work sync.WaitGroup
	for name, data := range files {
		work.Go(func() {
			path := filepath.Join(dir, name)
			temporary, err := stage(path, data, mode, true)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			s.pairs = append(s.pairs, [2]string{temporary, path})
		})
	}
	work.Wait()
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, s.Discard())...)
	}
	return s, nil
}

// Name gives the files their names, that of last as the last one, and makes that durable. A file that had the name is replaced.
func (s *Staged) Name(last string) error {
	slices.SortFunc(s.pairs, func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(order(a[1], last), order(b[1], last)), strings.Compare(a[1], b[1]))
	})
	for i, p := range s.pairs {
		if err := os.Rename(p[0], p[1]); err != nil {
			s.pairs = s.pairs[i:]
			return errors.Join(err, s.Discard())
		}
	}
	return SyncDir(s.dir)
}

func order(path, last string) int {
	if filepath.Base(path) == last {
		return 1
	}
	return 0
}

// Discard removes the temporary files.
func (s *Staged) Discard() error {
	var errs []error
	for _, p := range s.pairs {
		errs = append(errs, os.Remove(p[0]))
	}
	return errors.Join(errs...)
}

// SyncDir makes the entries of a directory durable: files created, renamed or
// removed in it before the call.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
