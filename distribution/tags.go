package distribution

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// Bounds of a list of tags: what a page may have, in bytes, how many pages, and how many tags.
const (
	maxPage  = 4 << 20
	maxPages = 1000
	maxTags  = 100_000
)

// tags lists the tags of the repository.
func (r *repository) tags(ctx context.Context) ([]string, error) {
	var failures tried
	for _, m := range r.able(docker.HostCapabilityResolve) {
		list, err := m.tags(ctx)
		if err == nil {
			return list, nil
		}
		failures.add(m, err)
	}
	return nil, failures.error(func(err error) error { return err })
}

func (m *remote) tags(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, documentAge)
	defer cancel()
	var all []string
	seen := map[string]bool{}
	for next := m.url("tags", "list"); next != ""; {
		if seen[next] || len(seen) >= maxPages || len(all) > maxTags {
			return nil, wrong("the list of tags has no end")
		}
		seen[next] = true
		page, following, err := m.tagPage(ctx, next)
		if err != nil {
			return nil, err
		}
		all, next = append(all, page...), following
	}
	return all, nil
}

func (m *remote) tagPage(ctx context.Context, from string) (tags []string, next string, err error) {
	resp, err := m.do(ctx, call{method: http.MethodGet, url: from})
	if err != nil {
		return nil, "", err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", refused(resp)
	}
	defer resp.Body.Close()
	var page struct {
		Tags []string `json:"tags"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxPage)).Decode(&page); err != nil {
		return nil, "", wrong("list of tags: %v", err)
	}
	next, err = m.nextPage(resp)
	return page.Tags, next, err
}

// nextPage reads `Link: </v2/...>; rel="next"`. It must not lead to another host.
func (m *remote) nextPage(resp *http.Response) (string, error) {
	link := resp.Header.Get("Link")
	if !strings.Contains(link, `rel="next"`) && !strings.Contains(link, "rel=next") {
		return "", nil
	}
	_, after, ok := strings.Cut(link, "<")
	target, _, closed := strings.Cut(after, ">")
	if !ok || !closed {
		return "", wrong("list of tags: link %q", printable(link))
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", wrong("list of tags: link %q", printable(link))
	}
	u = resp.Request.URL.ResolveReference(u)
	if u.Host != resp.Request.URL.Host {
		return "", wrong("list of tags: the next page is at another host, %s", u.Redacted())
	}
	return u.String(), nil
}
