package api

import (
	"cmp"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// handler answers one request. A returned error becomes the answer, unless the handler has begun one.
type handler func(*response, *request) error

// route is one line of the table that is the API.
type route struct {
	method  string
	pattern string // segments; {name} is one of them, {name...} one or more: names of images and plugins contain slashes
	since   int    // minor of the first API version that has it; 0 for all
	serve   handler
}

// router finds the route of a request. net/http's ServeMux allows a wildcard of several segments at the end only.
type router struct {
	byStart map[string][]compiled // by method and first segment, in the order of the table
}

type compiled struct {
	route
	segments []string
}

func newRouter(routes []route) *router {
	r := &router{byStart: map[string][]compiled{}}
	for _, one := range routes {
		segments := strings.Split(strings.TrimPrefix(one.pattern, "/"), "/")
		key := one.method + " " + segments[0]
		r.byStart[key] = append(r.byStart[key], compiled{one, segments})
	}
	return r
}

// find returns the route of a path without its version, and its wildcards as pairs of name and value; nil for none.
// Of several that fit, the first of the table counts, so literal segments stand before wildcards there.
func (r *router) find(method, path string, at version) (*route, []string) {
	path = strings.TrimPrefix(path, "/")
	start, _, _ := strings.Cut(path, "/")
	candidates := r.byStart[method+" "+start]
	for i := range candidates {
		c := &candidates[i]
		if c.since > 0 && at.before(c.since) {
			continue
		}
		if values, ok := match(c.segments, path); ok {
			return &c.route, values
		}
	}
	return nil, nil
}

// match compares a path with a pattern; only the last wildcard but for literals may span several segments.
func match(pattern []string, path string) (values []string, ok bool) {
	for i, want := range pattern {
		if strings.HasSuffix(want, "...}") {
			name, ok := cutTail(path, pattern[i+1:])
			return append(values, want[1:len(want)-4], name), ok && name != ""
		}
		segment, rest, more := strings.Cut(path, "/")
		if more != (i < len(pattern)-1) {
			return nil, false
		}
		if strings.HasPrefix(want, "{") {
			if segment == "" {
				return nil, false
			}
			values = append(values, want[1:len(want)-1], segment)
		} else if segment != want {
			return nil, false
		}
		path = rest
	}
	return values, true
}

// cutTail cuts the literal segments of tail off the end of a path.
func cutTail(path string, tail []string) (string, bool) {
	if len(tail) == 0 {
		return path, true
	}
	return strings.CutSuffix(path, "/"+strings.Join(tail, "/"))
}

// serve is the way of every request: guard, route, version, handler, error.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	rw := &response{ResponseWriter: w}
	maps.Copy(rw.Header(), s.headers)
	req := &request{Request: r, server: s}
	text, path, _ := splitVersion(r.URL.Path)
	pattern := ""
	defer func() { s.account(req, rw, pattern, time.Since(began)) }()
	defer func() { s.recovered(rw, req, recover()) }()
	if err := guard(r); err != nil {
		s.fail(rw, req, err)
		return
	}
	if to, ok := canonical(r); !ok {
		http.Redirect(rw, r, to, http.StatusMovedPermanently)
		return
	}
	found, values := s.router.find(r.Method, path, Newest)
	if found == nil {
		s.fail(rw, req, errPageNotFound)
		return
	}
	pattern = found.pattern
	var err error
	if req.version, err = s.negotiate(text); err == nil && found.since > 0 && req.version.before(found.since) {
		err = errPageNotFound
	}
	if err == nil {
		err = req.prepare(values)
	}
	if err == nil {
		err = found.serve(rw, req)
	}
	if err != nil {
		s.fail(rw, req, err)
	}
}

// commonHeaders are on every answer; clients read them to learn whom they talk to.
func commonHeaders(cfg *Config) http.Header {
	h := http.Header{}
	h.Set("Api-Version", Newest.String())
	h.Set("Docker-Experimental", strconv.FormatBool(cfg.Experimental))
	h.Set("Ostype", "linux")
	h.Set("Server", "Docker/"+cfg.ServerVersion+" (linux)")
	return h
}

// account is the access log, at debug level, and the metric.
func (s *Server) account(r *request, w *response, pattern string, took time.Duration) {
	if s.log.Enabled(r.Context(), slog.LevelDebug) {
		s.log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", cmp.Or(w.status, http.StatusOK), "duration", took)
	}
	if s.cfg.Observe != nil && pattern != "" {
		s.cfg.Observe(r.Method+" "+pattern, took)
	}
}
