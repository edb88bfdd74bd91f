package volume

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What is no volume yet, or no longer. No volume's name starts with a dot.
const (
	draftPrefix = ".new-"
	trashPrefix = ".old-"
)

// trash removes in the background what has no name any more.
type trash struct {
	dir  string
	more chan struct{} // holds one element when there may be something to do
	stop context.CancelFunc
	work sync.WaitGroup
}

// openTrash takes over what a crash left half made.
func openTrash(dir string) (*trash, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range entries {
		if rest, ok := strings.CutPrefix(d.Name(), draftPrefix); ok {
			// Both prefixes are followed by random text.
			if err := os.Rename(filepath.Join(dir, d.Name()), filepath.Join(dir, trashPrefix+rest)); err != nil {
				return nil, err
			}
		}
	}
	t := &trash{dir: dir, more: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(context.Background()) // no request's: it goes on when the answer is out
	t.stop = stop
	t.work.Go(func() { t.run(ctx) })
	t.wake()
	return t, nil
}

// close stops the removal. What is left goes after the next start.
func (t *trash) close() {
	t.stop()
	t.work.Wait()
}

func (t *trash) wake() {
	select {
	case t.more <- struct{}{}:
	default:
	}
}

func (t *trash) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.more:
		}
		entries, err := os.ReadDir(t.dir)
		if err != nil {
			slog.Warn("volumes cannot be listed", "path", t.dir, "error", err)
		}
		for _, d := range entries {
			if !strings.HasPrefix(d.Name(), trashPrefix) {
				continue
			}
			path := filepath.Join(t.dir, d.Name())
			if err := removeTree(ctx, path); err != nil && !errors.Is(err, context.Canceled) {
				slog.Warn("a removed volume still takes space", "path", path, "error", err)
			}
		}
	}
}

// removeTree is os.RemoveAll that stops when ctx ends, and works in directories of a million files.
func removeTree(ctx context.Context, dir string) error {
	for {
		f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return os.RemoveAll(dir) // not a directory, or gone
		}
		names, readErr := f.Readdirnames(1000)
		if err := f.Close(); err != nil {
			return err
		}
		if len(names) == 0 {
			if err := os.Remove(dir); err != nil {
				return errors.Join(readErr, err)
			}
			return nil
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := removeTree(ctx, filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
}
