package distribution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gantry/internal/fault"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	copyBuffer = 256 << 10
	// freshAttempts is how much has to come, in bytes, for the attempts to be counted anew.
	freshAttempts = 1 << 20
	maxPause      = 10 * time.Second
)

// run fetches the blob of a transfer.
func (s *Service) run(ctx context.Context, x *transfer) error {
	if err := s.downloads.acquire(ctx, func() { x.tell(func(l *line) { l.say("Waiting") }) }); err != nil {
		return err
	}
	defer s.downloads.release()
	opCtx, done, err := s.cfg.Store.Begin(ctx)
	if err != nil {
		return &localError{err}
	}
	x.lease = done
	f := &fetcher{svc: s, x: x, desc: x.blob.desc, op: opCtx}
	err = f.fetch(s.cfg.Store.Context(ctx))
	if err == nil {
		x.tell(func(l *line) { l.say("Download complete") })
	}
	return err
}

// fetcher brings one blob into the content store.
type fetcher struct {
	svc  *Service
	x    *transfer
	desc ocispec.Descriptor
	op   context.Context // of the operation that keeps the blob
	w    content.Writer
	at   int64 // bytes that w has
}

// fetch asks the remotes until the blob is here. The ingest belongs to no operation, so that it survives this process.
func (f *fetcher) fetch(ctx context.Context) error {
	err := f.open(ctx)
	if errdefs.IsAlreadyExists(err) {
		return f.svc.hold(f.op, f.desc)
	}
	if err != nil {
		return &localError{err}
	}
	defer func() { f.w.Close() }() //nolint:errcheck // after Commit there is nothing to close
	var failures tried
	for _, m := range f.x.from.able(docker.HostCapabilityPull) {
		resumed := f.at > 0
		err := f.whole(ctx, m)
		if resumed && errdefs.IsDataLoss(err) && ctx.Err() == nil {
			// What was left over may be another registry's lie: this one gets a clean beginning.
			if err = f.restart(); err != nil {
				return &localError{err}
			}
			err = f.whole(ctx, m)
		}
		var local *localError
		if err == nil || ctx.Err() != nil || errors.As(err, &local) {
			return err
		}
		failures.add(m, err)
		if errdefs.IsDataLoss(err) { // what this one sent is no beginning for the next
			if err := f.restart(); err != nil {
				return &localError{err}
			}
		}
	}
	return failures.error(func(err error) error { return err })
}

// whole fetches what is missing from one remote, and commits it.
func (f *fetcher) whole(ctx context.Context, m *remote) error {
	if err := f.from(ctx, m); err != nil {
		return err
	}
	return f.commit()
}

func (f *fetcher) open(ctx context.Context) error {
	w, err := content.OpenWriter(ctx, f.svc.cfg.Store.Content(), content.WithRef(f.ref()), content.WithDescriptor(f.desc))
	if err != nil {
		return err
	}
	f.w = w
	st, err := w.Status()
	f.at = st.Offset
	if err == nil && f.at > f.desc.Size {
		err = f.restart()
	}
	return err
}

func (f *fetcher) ref() string { return "layer-" + f.desc.Digest.String() }

// restart throws away what has arrived.
func (f *fetcher) restart() error {
	f.at = 0
	return f.w.Truncate(0)
}

// from fetches what is missing from one remote, going on where a broken connection ended.
func (f *fetcher) from(ctx context.Context, m *remote) error {
	pause := f.svc.cfg.Pause
	for attempt := int64(1); f.at < f.desc.Size; {
		before := f.at
		err := f.stream(ctx, m)
		if err == nil && f.at == f.desc.Size {
			break
		}
		if err == nil {
			err = fmt.Errorf("%s: the connection ended %d bytes early", f.desc.Digest, f.desc.Size-f.at)
		}
		if ctx.Err() != nil || !temporary(err) {
			return err
		}
		if f.at-before >= freshAttempts {
			attempt, pause = 1, f.svc.cfg.Pause
		}
		if attempt++; attempt > f.svc.attempts.Load() {
			return err
		}
		f.svc.cfg.Log.Info("download goes on after an error", "digest", f.desc.Digest, "remote", m, "offset", f.at, "error", err)
		if err := f.rest(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
	return nil
}

func (f *fetcher) rest(ctx context.Context, pause time.Duration) error {
	f.x.tell(func(l *line) { l.say(fmt.Sprintf("Retrying in %v", pause.Round(time.Millisecond))) })
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stream reads one response into the ingest.
func (f *fetcher) stream(ctx context.Context, m *remote) error {
	ctx, dog := watch(ctx, f.svc.cfg.Stall)
	defer dog.stop()
	c := call{method: http.MethodGet, url: m.url("blobs", f.desc.Digest.String()), header: http.Header{}}
	if f.at > 0 {
		c.header.Set("Range", fmt.Sprintf("bytes=%d-", f.at))
	}
	resp, err := m.do(ctx, c)
	if err != nil {
		return err
	}
	skip, err := f.begins(resp)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return f.copy(dog.reader(ctx, resp.Body), skip)
}

// begins checks what a response says of itself, and returns how much of it is here already.
func (f *fetcher) begins(resp *http.Response) (skip int64, err error) {
	switch resp.StatusCode {
	case http.StatusOK:
		if resp.ContentLength >= 0 && resp.ContentLength != f.desc.Size {
			resp.Body.Close()
			return 0, wrong("%s has %d bytes, not %d", f.desc.Digest, resp.ContentLength, f.desc.Size)
		}
		return f.at, nil
	case http.StatusPartialContent:
		var first, last, total int64
		said := resp.Header.Get("Content-Range")
		if n, _ := fmt.Sscanf(said, "bytes %d-%d/%d", &first, &last, &total); n < 2 || first != f.at || last >= f.desc.Size || n == 3 && total != f.desc.Size {
			resp.Body.Close()
			return 0, wrong("%s: asked for bytes from %d of %d, got the range %q", f.desc.Digest, f.at, f.desc.Size, printable(said))
		}
		return 0, nil
	}
	return 0, refused(resp)
}

// copy appends what is not here yet. More than the descriptor's size is a lie.
func (f *fetcher) copy(body io.Reader, skip int64) error {
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		return err
	}
	buf := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buf)
		if int64(n) > f.desc.Size-f.at {
			return wrong("%s has more than %d bytes", f.desc.Digest, f.desc.Size)
		}
		if n > 0 {
			if _, err := f.w.Write(buf[:n]); err != nil {
				return &localError{err}
			}
			f.at += int64(n)
			at := f.at
			f.x.tell(func(l *line) { l.bar("Downloading", at, f.desc.Size) })
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// commit verifies the blob and keeps it for the operation. One that is not what it should be is discarded.
func (f *fetcher) commit() error {
	f.x.tell(func(l *line) { l.say("Verifying Checksum") })
	if f.desc.Digest.Algorithm() == f.w.Digest().Algorithm() && f.w.Digest() != f.desc.Digest {
		return wrong("filesystem layer verification failed for digest %s", f.desc.Digest)
	}
	err := f.w.Commit(f.op, f.desc.Size, f.desc.Digest)
	switch {
	case errdefs.IsAlreadyExists(err):
		return f.svc.hold(f.op, f.desc)
	case err != nil:
		return &localError{err}
	}
	fault.Point("distribution.fetch.committed")
	return nil
}

// hold keeps a blob that is here for the operation of ctx. Errors: not found.
func (s *Service) hold(ctx context.Context, d ocispec.Descriptor) error {
	ref := "hold-" + uuid.NewString()
	w, err := s.cfg.Store.Content().Writer(ctx, content.WithRef(ref), content.WithDescriptor(d))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(errdefs.ErrNotFound.WithMessage("blob "+d.Digest.String()+" is not here"), w.Close(), s.cfg.Store.Content().Abort(ctx, ref))
}

// has reports whether a blob is here, and keeps it for the operation of ctx.
func (s *Service) has(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	if _, err := s.cfg.Store.Content().Info(ctx, d.Digest); errdefs.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	err := s.hold(ctx, d)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
