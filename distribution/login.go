package distribution

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

// Login tries credentials at the registry that they name. Errors: unauthorized, and what kept the registry from being asked.
func (s *Service) Login(ctx context.Context, c Credentials) (*registry.AuthResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, documentAge)
	defer cancel()
	domain := registryOf(c.ServerAddress)
	d := s.hosts.Load()
	hosts, err := d.configured(ctx, domain)
	if err != nil {
		return nil, err
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("registry %s: its hosts.toml names no host", domain)
	}
	h := hosts[len(hosts)-1]
	out := &registry.AuthResponse{Status: "Login Succeeded"}
	m := &remote{host: h, agent: s.cfg.UserAgent, plain: func(host string) bool { return d.insecure(ctx, host) }}
	m.auth = d.authorizer(h, c, func(token string) { out.IdentityToken = token })
	base := h.Scheme + "://" + h.Host + h.Path + "/"
	resp, err := m.do(ctx, call{method: http.MethodGet, url: base})
	var r *refusal
	switch {
	case errors.As(err, &r), errors.Is(err, docker.ErrInvalidAuthorization):
		return nil, unauthorized(base, "incorrect username or password")
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		err := refused(resp)
		if errors.As(err, &r) && r.message != "" {
			return nil, unauthorized(base, r.message)
		}
		return nil, unauthorized(base, "incorrect username or password")
	case resp.StatusCode != http.StatusOK:
		defer resp.Body.Close()
		return nil, errdefs.ErrUnknown.WithMessage(fmt.Sprintf("login attempt to %s failed with status: %s", base, printable(resp.Status)))
	}
	return out, resp.Body.Close()
}

func unauthorized(base, why string) error {
	return errdefs.ErrUnauthenticated.WithMessage(fmt.Sprintf("Get %q: unauthorized: %s", base, why))
}
