package distribution

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/moby/api/types/registry"
)

// Credentials are what a client sent along for one operation. The zero value is nobody's.
type Credentials = registry.AuthConfig

// registryOf is the registry that a server address of `docker login` means: "https://index.docker.io/v1/" is Docker Hub.
func registryOf(address string) string {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Host
	}
	host, _, _ = strings.Cut(host, "/")
	switch host {
	case "", "index.docker.io", hubHost, hub:
		return hub
	}
	return host
}

// secretsFor are the credentials for a registry; empty if they are for another one.
func secretsFor(c Credentials, registry string) Credentials {
	if c.ServerAddress != "" && registryOf(c.ServerAddress) != registry {
		return Credentials{}
	}
	return c
}

// authorizer answers the challenges of one remote. refreshed, unless it is nil, gets what a password can be replaced by.
func (d *directory) authorizer(h docker.RegistryHost, c Credentials, refreshed func(string)) docker.Authorizer {
	if c.RegistryToken != "" {
		return bearer{h.Host, c.RegistryToken}
	}
	client := *h.Client
	client.CheckRedirect = stay
	client.Transport = tokenTransport{transportOf(h.Client), func(host string) bool {
		return host == h.Host && h.Scheme == "http" || d.insecure(context.Background(), host)
	}}
	o := []docker.AuthorizerOpt{docker.WithAuthClient(&client), docker.WithAuthCreds(func(host string) (string, string, error) {
		switch {
		case host != h.Host:
			return "", "", nil
		case c.IdentityToken != "":
			return "", c.IdentityToken, nil
		}
		return c.Username, c.Password, nil
	})}
	if refreshed != nil {
		o = append(o, docker.WithFetchRefreshToken(func(_ context.Context, token string, _ *http.Request) { refreshed(token) }))
	}
	return docker.NewDockerAuthorizer(o...)
}

func transportOf(c *http.Client) http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	return http.DefaultTransport
}

// bearer is a token that the client has brought.
type bearer struct{ host, token string }

func (b bearer) Authorize(_ context.Context, r *http.Request) error {
	if r.URL.Host == b.host {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return nil
}

func (b bearer) AddResponses(_ context.Context, _ []*http.Response) error {
	return docker.ErrInvalidAuthorization
}
