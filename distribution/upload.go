package distribution

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// body is a request's body that can be sent again.
func body(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// blob makes sure that the registry has a blob: it is there, it can be mounted from another repository, or it is sent.
func (p *push) blob(ctx context.Context, d ocispec.Descriptor, l *line) error {
	if images.IsNonDistributable(d.MediaType) && !slices.Contains(p.svc.hosts.Load().set.AllowUploaded, p.repo.domain) {
		l.say("Skipped foreign layer")
		return nil
	}
	if err := p.svc.uploads.acquire(ctx, func() { l.say("Waiting") }); err != nil {
		return err
	}
	defer p.svc.uploads.release()
	if there, err := p.to.hasBlob(ctx, d.Digest); err != nil {
		return err
	} else if there {
		l.say("Layer already exists")
		return p.svc.source(ctx, d.Digest, p.repo)
	}
	from, err := p.mountable(ctx, d.Digest)
	if err != nil {
		return err
	}
	at, mounted, err := p.begin(ctx, d.Digest, from)
	if err != nil {
		return err
	}
	if mounted {
		l.say("Mounted from " + from)
		return p.svc.source(ctx, d.Digest, p.repo)
	}
	if err := p.send(ctx, d, at, l); err != nil {
		return err
	}
	l.say("Pushed")
	return p.svc.source(ctx, d.Digest, p.repo)
}

func (m *remote) hasBlob(ctx context.Context, d digest.Digest) (bool, error) {
	resp, err := m.do(ctx, call{method: http.MethodHead, url: m.url("blobs", d.String())})
	if err != nil {
		return false, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return true, resp.Body.Close()
	case http.StatusNotFound:
		return false, resp.Body.Close()
	}
	return false, refused(resp)
}

// mountable is another repository of the registry that is known to have a blob; "" for none.
func (p *push) mountable(ctx context.Context, d digest.Digest) (string, error) {
	info, err := p.svc.cfg.Store.Content().Info(ctx, d)
	if err != nil {
		return "", err
	}
	for _, path := range strings.Split(info.Labels[sourceLabel+p.repo.domain], ",") {
		if path != "" && path != p.repo.path {
			return path, nil
		}
	}
	return "", nil
}

// begin opens an upload, or has the blob mounted.
func (p *push) begin(ctx context.Context, d digest.Digest, from string) (at *url.URL, mounted bool, err error) {
	u := p.to.url("blobs", "uploads") + "/"
	if from != "" {
		u += "?" + url.Values{"mount": {d.String()}, "from": {from}}.Encode()
		ctx = docker.ContextWithAppendPullRepositoryScope(ctx, from)
	}
	resp, err := p.to.do(ctx, call{method: http.MethodPost, url: u, body: body(nil)})
	if err != nil {
		return nil, false, err
	}
	switch {
	case resp.StatusCode == http.StatusCreated && from != "":
		return nil, true, resp.Body.Close()
	case resp.StatusCode != http.StatusAccepted && from != "":
		_ = resp.Body.Close() // a registry that does not mount is asked to take the blob
		return p.begin(ctx, d, "")
	case resp.StatusCode != http.StatusAccepted:
		return nil, false, refused(resp)
	}
	defer resp.Body.Close()
	at, err = p.location(resp)
	return at, false, err
}

// location is where an upload goes on. It stays with TLS if it was.
func (p *push) location(resp *http.Response) (*url.URL, error) {
	at, err := resp.Location()
	if err != nil {
		return nil, wrong("the registry names no place for the upload: %v", err)
	}
	if resp.Request.URL.Scheme == "https" && at.Scheme != "https" && !p.to.plain(resp.Request.URL.Host) {
		return nil, wrong("the registry moves the upload from HTTPS to %s", at.Redacted())
	}
	return at, nil
}

// send uploads a blob. After a broken connection it goes on with what the registry says that it has.
func (p *push) send(ctx context.Context, d ocispec.Descriptor, at *url.URL, l *line) error {
	ra, err := p.svc.cfg.Store.Content().ReaderAt(ctx, d)
	if err != nil {
		return err
	}
	defer ra.Close() //nolint:errcheck // only read from
	pause := p.svc.cfg.Pause
	var offset int64
	for attempt := int64(1); ; attempt++ {
		next, err := p.patch(ctx, ra, offset, d, at, l)
		if err == nil {
			at = next
			break
		}
		if ctx.Err() != nil || !temporary(err) || attempt >= p.svc.attempts.Load() {
			return err
		}
		l.say(fmt.Sprintf("Retrying in %v", pause.Round(time.Millisecond)))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, maxPause)
		if offset, at, err = p.resume(ctx, d, at); err != nil {
			return err
		}
	}
	return p.complete(ctx, d, at)
}

// patch sends everything from an offset, and returns where the upload is completed.
func (p *push) patch(ctx context.Context, ra content.ReaderAt, offset int64, d ocispec.Descriptor, at *url.URL, l *line) (*url.URL, error) {
	if offset == d.Size && d.Size > 0 {
		return at, nil
	}
	ctx, dog := watch(ctx, p.svc.cfg.Stall)
	defer dog.stop()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if offset > 0 {
		header.Set("Content-Range", fmt.Sprintf("%d-%d", offset, d.Size-1))
	}
	resp, err := p.to.do(ctx, call{method: http.MethodPatch, url: at.String(), header: header, size: d.Size - offset, body: func() (io.ReadCloser, error) {
		sent := &sending{r: io.NewSectionReader(ra, offset, d.Size-offset), at: offset, total: d.Size, line: l}
		return io.NopCloser(dog.reader(ctx, sent)), nil
	}})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, refused(resp)
	}
	defer resp.Body.Close()
	return p.location(resp)
}

// resume asks how much of an upload the registry has. An upload that it has forgotten begins anew.
func (p *push) resume(ctx context.Context, d ocispec.Descriptor, at *url.URL) (int64, *url.URL, error) {
	resp, err := p.to.do(ctx, call{method: http.MethodGet, url: at.String()})
	if err == nil && resp.StatusCode == http.StatusNoContent {
		defer resp.Body.Close()
		var last int64
		if n, _ := fmt.Sscanf(resp.Header.Get("Range"), "0-%d", &last); n == 1 && last > 0 && last < d.Size {
			if next, err := p.location(resp); err == nil {
				at = next
			}
			return last + 1, at, nil
		}
	} else if err == nil {
		_ = resp.Body.Close() // whatever it says: there is nothing to go on with
	}
	at, _, err = p.begin(ctx, d.Digest, "")
	return 0, at, err
}

// complete names the blob that was sent.
func (p *push) complete(ctx context.Context, d ocispec.Descriptor, at *url.URL) error {
	q := at.Query()
	q.Set("digest", d.Digest.String())
	u := *at
	u.RawQuery = q.Encode()
	resp, err := p.to.do(ctx, call{method: http.MethodPut, url: u.String(), body: body(nil)})
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return refused(resp)
	}
	return resp.Body.Close()
}

// sending moves the bar while a blob is sent.
type sending struct {
	r         io.Reader
	at, total int64
	line      *line
}

func (s *sending) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.at += int64(n)
	s.line.bar("Pushing", s.at, s.total)
	return n, err
}
