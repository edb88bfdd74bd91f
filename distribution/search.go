package distribution

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gantry/internal/filter"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

// maxResults is how many results a search may be asked for; anything else than 1 to it is refused, as dockerd does.
const maxResults = 100

// SearchOptions of GET /images/search.
type SearchOptions struct {
	Limit       int // 0 for 25
	Filters     filter.Args
	Credentials Credentials
}

// Search asks a registry for repositories; without a registry in the term, Docker Hub. Errors: invalid argument, and that
// the registry cannot search.
func (s *Service) Search(ctx context.Context, term string, o SearchOptions) ([]registry.SearchResult, error) {
	keep, err := searchFilter(o.Filters)
	if err != nil {
		return nil, err
	}
	if o.Limit == 0 {
		o.Limit = 25
	}
	if o.Limit < 1 || o.Limit > maxResults {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("limit %d is outside the range of [1, %d]", o.Limit, maxResults))
	}
	if strings.Contains(term, "://") {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid repository name: repository name (%s) should not have a scheme", term))
	}
	ctx, cancel := context.WithTimeout(ctx, documentAge)
	defer cancel()
	m, base, query, err := s.searcher(ctx, term, o.Credentials)
	if err != nil {
		return nil, err
	}
	resp, err := m.do(ctx, call{method: http.MethodGet, url: base + "search?" + url.Values{"q": {query}, "n": {strconv.Itoa(o.Limit)}}.Encode()})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, errdefs.ErrUnknown.WithMessage(fmt.Sprintf("Unexpected status code %d: %s cannot be searched", resp.StatusCode, m))
	}
	defer resp.Body.Close()
	var found registry.SearchResults
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(&found); err != nil {
		return nil, wrong("search results: %v", err)
	}
	out := []registry.SearchResult{}
	for _, r := range found.Results {
		if len(out) < o.Limit && keep(r) {
			r.Name, r.Description = printable(r.Name), printable(r.Description)
			out = append(out, r)
		}
	}
	return out, nil
}

// searcher is whom to ask for a term, "busybox" or "HOST/busybox".
func (s *Service) searcher(ctx context.Context, term string, c Credentials) (m *remote, base, query string, err error) {
	domain, query, ok := strings.Cut(term, "/")
	if !ok || !strings.ContainsAny(domain, ".:") && domain != "localhost" {
		domain, query = hub, term
	}
	d := s.hosts.Load()
	hosts, err := d.configured(ctx, domain)
	if err != nil {
		return nil, "", "", err
	}
	if len(hosts) == 0 {
		return nil, "", "", fmt.Errorf("registry %s: its hosts.toml names no host", domain)
	}
	h := hosts[len(hosts)-1]
	base = h.Scheme + "://" + h.Host + "/v1/"
	if domain == hub {
		u, err := url.Parse(s.cfg.Hub)
		if err != nil {
			return nil, "", "", err
		}
		h.Scheme, h.Host, base = u.Scheme, u.Host, s.cfg.Hub
		query = strings.TrimPrefix(query, "library/")
	}
	m = &remote{host: h, agent: s.cfg.UserAgent, plain: func(string) bool { return false }}
	m.auth = anonymous{}
	if secrets := secretsFor(c, domain); secrets.Username != "" {
		m.auth = basic{h.Host, secrets.Username, secrets.Password}
	}
	return m, base, query, nil
}

// searchFilter reads is-official, is-automated and stars. Errors: invalid argument.
func searchFilter(args filter.Args) (func(registry.SearchResult) bool, error) {
	official, automated, stars := "", "", 0
	for key, values := range args {
		for _, v := range values {
			switch key {
			case "is-official", "is-automated":
				b, err := strconv.ParseBool(v)
				if err != nil {
					return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s=%s'", key, v))
				}
				if key == "is-official" {
					official = strconv.FormatBool(b)
				} else {
					automated = strconv.FormatBool(b)
				}
			case "stars":
				n, err := strconv.Atoi(v)
				if err != nil {
					return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'stars=%s'", v))
				}
				stars = max(stars, n)
			default:
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", key))
			}
		}
	}
	return func(r registry.SearchResult) bool {
		return (official == "" || official == strconv.FormatBool(r.IsOfficial)) && automated != "true" && r.StarCount >= stars
	}, nil
}

// anonymous has no credentials.
type anonymous struct{}

func (anonymous) Authorize(context.Context, *http.Request) error { return nil }
func (anonymous) AddResponses(context.Context, []*http.Response) error {
	return docker.ErrInvalidAuthorization
}

// basic sends a name and password with every request to one host.
type basic struct{ host, user, password string }

func (b basic) Authorize(_ context.Context, r *http.Request) error {
	if r.URL.Host == b.host && r.URL.Scheme == "https" {
		r.SetBasicAuth(b.user, b.password)
	}
	return nil
}

func (b basic) AddResponses(context.Context, []*http.Response) error {
	return docker.ErrInvalidAuthorization
}
