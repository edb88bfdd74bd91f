package logfile

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"time"

	"gantry/logdriver"
)

// Reader reads a log back. It may be used by several goroutines, since each Read is by itself.
type Reader struct {
	path   string
	format func() Format
}

// NewReader returns a reader of the log at path. A log that is not there is an empty one.
func NewReader(path string, format func() Format) *Reader {
	return &Reader{path: path, format: format}
}

// Read is that of logdriver.Reader. Tail counts the messages that are not after Until.
func (r *Reader) Read(ctx context.Context, cfg logdriver.ReadConfig) iter.Seq2[*logdriver.Message, error] {
	return func(yield func(*logdriver.Message, error) bool) {
		rd := &reading{path: r.path, format: r.format(), ctx: ctx, cfg: cfg, yield: yield}
		defer rd.close()
		if err := rd.run(); err != nil && ctx.Err() == nil && !rd.done {
			yield(nil, err)
		}
	}
}

// reading is one Read under way.
type reading struct {
	path   string
	format Format
	ctx    context.Context // of the one call that the value lives for
	cfg    logdriver.ReadConfig
	yield  func(*logdriver.Message, error) bool

	queue   []*segment // to be read, oldest first; the first one is being read
	dropped []*segment // of no use; closed when the walk that found them is over
	done    bool       // nothing more is wanted
	m       logdriver.Message
}

func (r *reading) close() {
	for _, s := range r.queue {
		s.close()
	}
}

func (r *reading) run() error {
	var w *watcher
	if r.cfg.Follow {
		// Before the first look, so that no change falls between the two.
		w = watch(dir(r.path))
		defer w.close()
	}
	if err := r.collect(); err != nil {
		return err
	}
	for len(r.queue) > 1 && !r.done {
		r.finishFirst()
	}
	if r.cfg.Follow {
		return r.follow(w)
	}
	if len(r.queue) > 0 && !r.done {
		return r.drain()
	}
	return nil
}

// collect opens what is to be read.
func (r *reading) collect() error {
	defer r.closeDropped()
	missing := r.cfg.Tail
	for s, err := range newestFirst(r.path) {
		if err != nil {
			return err
		}
		r.queue = append(r.queue, s)
		if r.cfg.Tail < 0 {
			err = s.begin(r.format, 0)
		} else {
			var got int
			got, err = s.tail(r.format, missing, r.cfg.Until)
			missing -= got
		}
		if err != nil {
			r.giveUp(s, err)
			r.queue = r.queue[:len(r.queue)-1]
			continue
		}
		if len(r.queue) > 1 && s.last.Before(r.cfg.Since) {
			r.dropped = append(r.dropped, s)
			r.queue = r.queue[:len(r.queue)-1]
			break // what is older still is no longer of interest either
		}
		if r.cfg.Tail >= 0 && missing == 0 {
			break
		}
	}
	slices.Reverse(r.queue)
	return nil
}

// finishFirst reads the rest of the oldest segment, which nobody writes to any more.
func (r *reading) finishFirst() {
	s := r.queue[0]
	if err := r.drain(); err != nil && r.ctx.Err() == nil {
		// What was damaged is lost; the segments after it are not.
		slog.Warn("a segment of a container's log is damaged", "path", s.f.Name(), "error", err)
	}
	s.close()
	r.queue = r.queue[1:]
}

// drain yields what the first segment has.
func (r *reading) drain() error {
	for !r.done {
		if r.ctx.Err() != nil {
			r.done = true
			return nil
		}
		ok, err := r.queue[0].message(r.format, &r.m)
		if !ok || err != nil {
			return err
		}
		if r.m.Time.Before(r.cfg.Since) {
			continue
		}
		if !inTime(&r.m, r.cfg.Until) || !r.yield(&r.m, nil) {
			r.done = true
		}
	}
	return nil
}

// follow reads on from the newest segment until the log has ended.
func (r *reading) follow(w *watcher) error {
	var until <-chan time.Time
	if !r.cfg.Until.IsZero() {
		timer := time.NewTimer(time.Until(r.cfg.Until))
		defer timer.Stop()
		until = timer.C
	}
	ended, damaged := false, false
	for {
		if len(r.queue) > 0 && !damaged {
			if err := r.drain(); err != nil {
				slog.Warn("a container's log is damaged", "path", r.path, "error", err)
				damaged = true // until the next segment
			}
		}
		if r.done {
			return nil
		}
		moved, err := r.advance()
		if err != nil {
			return err
		}
		if moved {
			damaged = false
			continue
		}
		if ended {
			return nil
		}
		select {
		case <-r.ctx.Done():
			return nil
		case <-r.cfg.Ended:
			ended = true // once more: what came before the end is on disk now
		case <-until:
			ended = true
		case <-w.changed:
		case <-w.ticker.C:
		}
	}
}

// advance goes on to the segment after the one being read, if the log was rotated, or to the
// beginning of the same one, if it was emptied in place. It reports whether there is something to read.
func (r *reading) advance() (bool, error) {
	newest, err := open(r.path, false)
	if err != nil || newest == nil {
		return false, err // nil: between two renames; the next notice will come
	}
	if len(r.queue) > 0 && newest.inode == r.queue[0].inode {
		newest.close()
		if !r.queue[0].truncated() {
			return false, nil
		}
		return true, r.queue[0].begin(r.format, 0)
	}
	newest.close()
	if err := r.collectNewer(); err != nil {
		return false, err
	}
	for len(r.queue) > 1 && !r.done {
		r.finishFirst()
	}
	return true, nil
}

// collectNewer adds the segments that came after the one being read. That one is complete by
// now: the writer has let go of it.
func (r *reading) collectNewer() error {
	defer r.closeDropped()
	present := len(r.queue)
	for s, err := range newestFirst(r.path) {
		if err != nil {
			return err
		}
		if present > 0 && s.same(r.queue[0]) {
			r.dropped = append(r.dropped, s)
			break
		}
		if err := s.begin(r.format, 0); err != nil {
			r.giveUp(s, err)
			continue
		}
		r.queue = append(r.queue, s)
	}
	slices.Reverse(r.queue[present:])
	return nil
}

// giveUp leaves out a segment, a compressed one that is none: the others are still of use.
func (r *reading) giveUp(s *segment, err error) {
	slog.Warn("a segment of a container's log cannot be read", "path", s.f.Name(), "error", err)
	r.dropped = append(r.dropped, s)
}

func (r *reading) closeDropped() {
	for _, s := range r.dropped {
		s.close()
	}
	r.dropped = nil
}
