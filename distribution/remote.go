package distribution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
)

// maxChallenges is how often a request is sent again with other credentials.
const maxChallenges = 3

// repository is one repository of one registry, for one operation.
type repository struct {
	svc     *Service
	name    reference.Named
	domain  string
	path    string
	remotes []*remote // in the order in which they are asked; the registry itself is the last
}

// remote is one host that serves a repository.
type remote struct {
	host  docker.RegistryHost
	auth  docker.Authorizer
	agent string
	repo  string // path below the host
	plain func(host string) bool
}

// open finds out who serves a repository.
func (s *Service) open(ctx context.Context, name reference.Named, c Credentials) (*repository, error) {
	r := &repository{svc: s, name: name, domain: reference.Domain(name), path: reference.Path(name)}
	d := s.hosts.Load()
	hosts, err := d.hosts(ctx, r.domain)
	if err != nil {
		return nil, err
	}
	for i, h := range hosts {
		own := i == len(hosts)-1
		secrets := secretsFor(c, r.domain)
		if !own {
			// A mirror gets what is for the mirror.
			secrets = Credentials{}
			if c.ServerAddress != "" && registryOf(c.ServerAddress) == h.Host {
				secrets = c
			}
		}
		r.remotes = append(r.remotes, &remote{
			host: h, auth: d.authorizer(h, secrets, nil), agent: s.cfg.UserAgent, repo: r.path,
			plain: func(host string) bool { return d.insecure(ctx, host) },
		})
	}
	if len(r.remotes) == 0 {
		return nil, fmt.Errorf("registry %s: its hosts.toml names no host", r.domain)
	}
	return r, nil
}

// scope says in ctx what a token for the repository has to be good for.
func (r *repository) scope(ctx context.Context, actions string) context.Context {
	return docker.WithScope(ctx, "repository:"+r.path+":"+actions)
}

// able lists the remotes that can do something.
func (r *repository) able(c docker.HostCapabilities) []*remote {
	var out []*remote
	for _, m := range r.remotes {
		if m.host.Capabilities.Has(c) {
			out = append(out, m)
		}
	}
	return out
}

// String is the remote's address, for messages.
func (m *remote) String() string { return m.host.Scheme + "://" + m.host.Host }

// url is the address of something in the repository.
func (m *remote) url(elem ...string) string {
	u := url.URL{Scheme: m.host.Scheme, Host: m.host.Host, Path: strings.TrimSuffix(m.host.Path, "/") + "/" + m.repo + "/" + strings.Join(elem, "/")}
	return u.String()
}

// call is one request to a remote.
type call struct {
	method, url string
	header      http.Header
	size        int64
	body        func() (io.ReadCloser, error) // nil for none; called once for each time that the request is sent
}

// do sends a request, with credentials when the remote asks for them. The answer may be an error; its body is to be closed.
func (m *remote) do(ctx context.Context, c call) (*http.Response, error) {
	var seen []*http.Response
	for {
		req, err := m.request(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := m.auth.Authorize(ctx, req); err != nil {
			return nil, authError(err)
		}
		resp, err := m.host.Client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized || len(seen) == maxChallenges {
			return resp, nil
		}
		if len(seen) > 0 && isBasic(resp) {
			return resp, nil // the password was there and is wrong
		}
		seen = append(seen, resp)
		if err := m.auth.AddResponses(ctx, seen); err != nil {
			if errors.Is(err, docker.ErrInvalidAuthorization) || strings.Contains(err.Error(), "auth scheme") {
				return resp, nil
			}
			resp.Body.Close()
			return nil, err
		}
		io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody)) //nolint:errcheck // for the connection to be used again
		resp.Body.Close()
	}
}

func isBasic(resp *http.Response) bool {
	return strings.HasPrefix(strings.ToLower(resp.Header.Get("WWW-Authenticate")), "basic")
}

func (m *remote) request(ctx context.Context, c call) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range m.host.Header {
		if req.URL.Host == m.host.Host {
			req.Header[k] = v
		}
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", m.agent)
	if c.body != nil {
		req.ContentLength = c.size
		req.GetBody = c.body
		if req.Body, err = c.body(); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// authError is the refusal of a token service.
func authError(err error) error {
	var status interface{ Error() string }
	if errors.As(err, &status) && strings.Contains(err.Error(), "401 Unauthorized") {
		return &refusal{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "authentication required"}
	}
	if strings.Contains(err.Error(), "403 Forbidden") {
		return &refusal{status: http.StatusForbidden, code: "DENIED", message: "requested access to the resource is denied"}
	}
	return err
}

// tried is why each remote did not serve, in the order in which they were asked.
type tried []struct {
	host string
	err  error
}

func (t *tried) add(m *remote, err error) {
	*t = append(*t, struct {
		host string
		err  error
	}{m.String(), err})
}

// error is the last one, which decides what the user is told, with the others behind it.
func (t tried) error(last func(error) error) error {
	if len(t) == 0 {
		return errors.New("no host of the registry may be asked for this")
	}
	err := last(t[len(t)-1].err)
	if len(t) == 1 {
		return err
	}
	var before []string
	for _, e := range t[:len(t)-1] {
		before = append(before, e.host+": "+printable(e.err.Error()))
	}
	return &traced{err, before}
}

// traced is an error after others were tried.
type traced struct {
	error
	before []string
}

func (t *traced) Error() string {
	return t.error.Error() + " (tried before: " + strings.Join(t.before, "; ") + ")"
}

func (t *traced) Unwrap() error { return t.error }
