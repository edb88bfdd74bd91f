package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

func (r Registry) validate() error {
	switch {
	case r.MaxDownloads < 1:
		return fmt.Errorf("invalid max concurrent downloads: %d", r.MaxDownloads)
	case r.MaxUploads < 1:
		return fmt.Errorf("invalid max concurrent uploads: %d", r.MaxUploads)
	case r.MaxDownloadRetries < 1:
		return fmt.Errorf("invalid max download attempts: %d", r.MaxDownloadRetries)
	}
	return nil
}

// checkMirror accepts a URL of a host alone.
func checkMirror(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("invalid mirror: %q is not a valid URI: %w", s, err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("invalid mirror: unsupported scheme %q in %q", u.Scheme, s)
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("invalid mirror: query or fragment at end of the URI %q", s)
	case u.User != nil:
		return "", fmt.Errorf("invalid mirror: username/password not allowed in URI %q", maskURL(s))
	}
	return strings.TrimRight(s, "/") + "/", nil
}

// checkInsecure accepts a host with or without a port, or a network.
func checkInsecure(s string) (string, error) {
	if rest, ok := strings.CutPrefix(strings.ToLower(s), "http://"); ok {
		s = rest // dockerd drops these with a warning
	} else if rest, ok := strings.CutPrefix(strings.ToLower(s), "https://"); ok {
		s = rest
	}
	if strings.Contains(s, "://") {
		return "", fmt.Errorf("insecure registry %s should not contain '://'", s)
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return s, nil
	}
	if strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-") {
		return "", fmt.Errorf("invalid index name (%s). Cannot begin or end with a hyphen", s)
	}
	host, port := s, ""
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
		if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 65535 {
			return "", fmt.Errorf("insecure registry %s is not valid: invalid port %q", s, p)
		}
	}
	if host == "" && port == "" || strings.ContainsAny(host, "/ ") {
		return "", fmt.Errorf("insecure registry %s is not valid: invalid host %q", s, host)
	}
	return s, nil
}
