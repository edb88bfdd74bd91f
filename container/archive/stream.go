package archive

import (
	"context"
	"errors"
	"io"
	"sync"
)

// stream runs pack in the background; what it writes is read from the result, whose Close ends it,
// waits for it and lets go of the view.
func (s *Service) stream(ctx context.Context, v *view, pack func(context.Context, *packer) error) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	out := &reader{PipeReader: r, cancel: cancel}
	out.work.Go(func() {
		p := newPacker(w, s.cfg.IDs)
		err := pack(ctx, p)
		if err == nil {
			err = p.close()
		}
		err = errors.Join(err, v.close(ctx))
		_ = w.CloseWithError(err) // never fails; nil is io.EOF
	})
	return out
}

type reader struct {
	*io.PipeReader
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func (r *reader) Close() error {
	r.cancel()
	err := r.PipeReader.Close()
	r.work.Wait()
	return err
}
