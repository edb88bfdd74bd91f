package distribution

import (
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/errdefs"
)

// maxRedirects is how often a registry may send a request elsewhere.
const maxRedirects = 10

// maxToken bounds the answer of a token service, in bytes.
const maxToken = 1 << 20

// redirect follows registries to where they keep blobs, without credentials and without leaving TLS.
func (d *directory) redirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) >= maxRedirects:
		return fmt.Errorf("%s: more than %d redirects", first.URL.Redacted(), maxRedirects)
	case first.URL.Scheme == "https" && req.URL.Scheme != "https" && !d.insecure(req.Context(), first.URL.Host):
		return fmt.Errorf("%s: redirected from HTTPS to %s", first.URL.Redacted(), req.URL.Redacted())
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return fmt.Errorf("%s: redirected to %s", first.URL.Redacted(), req.URL.Redacted())
	}
	if req.URL.Host == first.URL.Host {
		return nil
	}
	// What the registry is told is nothing for another host: only the range of the bytes and the formats are asked for there.
	kept := http.Header{}
	for _, name := range []string{"Range", "Accept", "User-Agent"} {
		if v, ok := req.Header[name]; ok {
			kept[name] = v
		}
	}
	req.Header = kept
	return nil
}

// tokenTransport asks token services. They are named by registries, so they are not trusted further than these.
type tokenTransport struct {
	http.RoundTripper
	plain func(host string) bool // whether HTTP is allowed to a host
}

func (t tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !(r.URL.Scheme == "http" && t.plain(r.URL.Host)) {
		return nil, errdefs.ErrPermissionDenied.WithMessage(
			fmt.Sprintf("token service %s is not HTTPS: its host has to be in insecure-registries", r.URL.Redacted()))
	}
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxToken), resp.Body}
	return resp, nil
}

// stay keeps a request for a token, which may carry a password in its body, at the host that it was for.
func stay(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("token service %s: redirected to %s", via[0].URL.Redacted(), req.URL.Redacted())
	}
	return nil
}
