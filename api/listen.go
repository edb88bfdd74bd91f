package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

const (
	// headerTimeout is how long a client may take to send a request's header. A slow one holds 8 KiB and a goroutine.
	headerTimeout = time.Minute
	// maxHeader bounds the header with its URL, in bytes, as dockerd's server does.
	maxHeader = 1 << 20
)

// newHTTPServer speaks HTTP/1.1 alone: streams take over the connection, which HTTP/2 does not allow.
func (s *Server) newHTTPServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    maxHeader,
		Protocols:         protocols,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// untilEnd is a request's context that is also done when the server closes: for answers without an end of their own.
func (s *Server) untilEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ending, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// canonical reports whether the path is clean; if not, to is where the client is sent, as dockerd does. So a
// handler and whoever authorizes it see the same path.
func canonical(r *http.Request) (to string, ok bool) {
	clean := path.Clean(r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "/") && clean != "/" {
		clean += "/"
	}
	if clean == r.URL.Path || !strings.HasPrefix(clean, "/") {
		return "", true
	}
	url := *r.URL
	url.Path, url.RawPath, url.Host, url.Scheme = clean, "", "", ""
	return url.String(), false
}

// guard refuses what a web page in somebody's browser sends: on a TCP port of the loopback interface or the
// LAN, a page can reach the engine with the user's network position. Engine clients are no browsers, so a request that carries a
// browser's marks must be harmless. A Unix socket is out of a page's reach.
func guard(r *http.Request) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil || local.Network() == "unix" || !fromBrowser(r.Header) {
		return nil
	}
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case r.Header.Get("Origin") != "", site == "cross-site", site == "same-site",
		r.Method != http.MethodGet && r.Method != http.MethodHead:
		return errdefs.ErrPermissionDenied.WithMessage("requests of web pages are refused")
	case !ownName(r.Host):
		return errdefs.ErrPermissionDenied.WithMessage("browsers must name this host by its address: " + r.Host + " may be another's name for it")
	}
	return nil
}

// browserMarks are headers that browsers send and a page cannot suppress, and that engine clients do not send.
var browserMarks = []string{"Origin", "Referer", "Cookie", "Accept-Language", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Ch-Ua"}

func fromBrowser(h http.Header) bool {
	for _, mark := range browserMarks {
		if _, ok := h[mark]; ok {
			return true
		}
	}
	return strings.Contains(h.Get("User-Agent"), "Mozilla/")
}

// ownName reports whether a Host header cannot be a stranger's DNS name that resolves to this host (DNS rebinding):
// an address, localhost, or a name without a dot.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return net.ParseIP(strings.Trim(host, "[]")) != nil || !strings.Contains(host, ".")
}
