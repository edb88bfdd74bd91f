package distribution

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// minProgress is what has to come within Config.Stall, in bytes: a registry that drips is one that stalls.
const minProgress = 1 << 10

// watchdog ends a request whose body does not come.
type watchdog struct {
	got    atomic.Int64
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func watch(ctx context.Context, limit time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{cancel: cancel, limit: limit}
	w.timer = time.AfterFunc(limit, w.check)
	return ctx, w
}

func (w *watchdog) check() {
	if w.got.Swap(0) < minProgress {
		w.cancel(fmt.Errorf("the registry sent less than %d bytes in %v", minProgress, w.limit))
		return
	}
	w.timer.Reset(w.limit)
}

// stop must be called when the body is read.
func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// reader counts what is read, and says why when it was stopped.
func (w *watchdog) reader(ctx context.Context, r io.Reader) io.Reader { return watched{ctx, r, w} }

type watched struct {
	ctx context.Context
	r   io.Reader
	w   *watchdog
}

func (r watched) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.w.got.Add(int64(n))
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's contract
		if cause := context.Cause(r.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}
