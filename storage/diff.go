package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"gantry/internal/inroot"
	"gantry/storage/detach"
	"gantry/storage/tree"

	"github.com/moby/go-archive"
)

// Changes lists what the rw layer changed, sorted by path, as `docker diff` shows it. Safe while the
// container runs. Errors: not found.
func (s *Service) Changes(ctx context.Context, id string) (out []archive.Change, err error) {
	err = s.withChanges(ctx, id, func(_ *os.File, changes []archive.Change) error {
		out = changes
		return nil
	})
	return out, err
}

// Diff is the rw layer as the uncompressed tar of an image layer. Errors: not found.
func (s *Service) Diff(ctx context.Context, id string) (io.ReadCloser, error) {
	if _, err := s.Mounts(ctx, id); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(s.withChanges(ctx, id, func(dir *os.File, changes []archive.Change) error {
			return tree.WriteLayer(ctx, w, dir, changes)
		}))
	}()
	return &diffReader{PipeReader: r, cancel: cancel, done: done}, nil
}

// diffReader ends the writer when it is closed.
type diffReader struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

func (d *diffReader) Close() error {
	d.cancel()
	err := d.PipeReader.Close()
	<-d.done
	return err
}

// changedUsage is the usage of an rw layer that also holds its parents' files.
func (s *Service) changedUsage(ctx context.Context, id string) (bytes, inodes int64, err error) {
	err = s.withChanges(ctx, id, func(dir *os.File, changes []archive.Change) error {
		bytes, inodes, err = tree.ChangedUsage(ctx, dir, changes)
		return err
	})
	return bytes, inodes, err
}

// withChanges calls fn with the directory that holds the rw layer's files, and with what it changes.
func (s *Service) withChanges(ctx context.Context, id string, fn func(*os.File, []archive.Change) error) (err error) {
	m, err := s.Mounts(ctx, id)
	if err != nil {
		return err
	}
	if len(m) != 1 {
		return fmt.Errorf("rw layer %s has %d mounts", id, len(m))
	}
	if m[0].Type == "overlay" {
		l, err := detach.ParseOverlay(m[0])
		if err != nil {
			return err
		}
		return overlayChanges(ctx, l, fn)
	}
	info, err := s.snapshots.Stat(s.Context(ctx), id)
	if err != nil {
		return err
	}
	now, err := os.Open(m[0].Source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, now.Close()) }()
	if info.Parent == "" {
		return compareTo(ctx, now, nil, fn)
	}
	view, release, err := s.viewRoot(ctx, info.Parent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release(context.WithoutCancel(ctx))) }()
	return compareTo(ctx, now, view, fn)
}

func overlayChanges(ctx context.Context, l detach.Layers, fn func(*os.File, []archive.Change) error) (err error) {
	upper, err := os.Open(l.Upper)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upper.Close()) }()
	view, err := detach.Overlay(detach.Layers{Lower: l.Lower, Options: l.Options})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	base, err := inroot.Open(view, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	changes, err := tree.Upper(ctx, upper, base)
	if err := errors.Join(err, base.Close()); err != nil {
		return err
	}
	return fn(upper, changes)
}

// compareTo compares a whole tree with the root of its base, which may be nil.
func compareTo(ctx context.Context, now, view *os.File, fn func(*os.File, []archive.Change) error) error {
	var base *os.File
	var err error
	if view != nil {
		if base, err = inroot.Open(view, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
			return err
		}
	}
	changes, err := tree.Compare(ctx, now, base)
	if base != nil {
		err = errors.Join(err, base.Close())
	}
	if err != nil {
		return err
	}
	return fn(now, changes)
}
