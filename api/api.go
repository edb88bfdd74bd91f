// Package api is the Docker Engine API over HTTP: routes, versions, errors and streams.
//
// A route is one line of the table in routes.go. An area is a group of routes with a file
// and a handler type of its own. A handler decodes a request, calls one room and writes the answer in the newest
// shape; versions.go and the files shape_*.go turn it into what older clients know. A stream is a connection that was
// taken over from HTTP (hijacked) and carries the raw bytes of a process.
//
// The package decides nothing about containers, images, volumes or networks and keeps no state of theirs.
//
// To add an endpoint: a line in routes.go, a method of its area's handler type, and a test beside it. To add an API
// version: move Newest, put what older versions must not see into the shape_*.go of its area, and run the tests with
// -update: the new golden files are what changes for clients.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"gantry/container"
	"gantry/container/archive"
	"gantry/container/exec"
	"gantry/container/stats"
	"gantry/container/stdio"
	"gantry/distribution"
	"gantry/events"
	"gantry/image"
	"gantry/network"
	"gantry/volume"
)

// Config is what the API serves, and how.
type Config struct {
	Containers *container.Service
	Exec       *exec.Service
	Stdio      *stdio.Service
	Archive    *archive.Service
	Stats      *stats.Service
	Images     *image.Service
	Registries *distribution.Service
	Volumes    *volume.Service
	Networks   *network.Service
	System     System
	Events     *events.Journal

	ServerVersion string // of the engine, for the Server header
	MinVersion    string // oldest API version that is served; "" for 1.24
	Experimental  bool   // what the Docker-Experimental header says
	Builder       string // what the Builder-Version header recommends; "" for 2, BuildKit
	Swarm         func() string
	CgroupV2      bool // of the host: older clients expect other defaults on version 1

	Log *slog.Logger // nil for slog.Default
	// Observe is told how long a request took, by method and pattern: "GET /containers/{id}/json". May be nil.
	Observe func(action string, took time.Duration)
}

// Server answers the API. Safe for concurrent use.
type Server struct {
	cfg     Config
	log     *slog.Logger
	oldest  version
	router  *router
	headers http.Header
	http    *http.Server
	streams streams

	ending context.Context // done when Close begins: streams end, other requests go on
	end    context.CancelFunc
	ended  sync.Once
}

// Open makes a server; it listens nowhere yet. Errors: invalid argument (MinVersion).
func Open(_ context.Context, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, oldest: Oldest}
	if s.log == nil {
		s.log = slog.Default()
	}
	if cfg.MinVersion != "" {
		v, ok := parseVersion(cfg.MinVersion)
		if !ok || v.less(Oldest) || Newest.less(v) {
			return nil, fmt.Errorf("minimum API version %q is not between %s and %s", cfg.MinVersion, Oldest, Newest)
		}
		s.oldest = v
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.headers = commonHeaders(&s.cfg)
	s.router = newRouter(s.routes())
	s.http = s.newHTTPServer()
	return s, nil
}

// Handler is the API for a caller that brings its own HTTP server.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Serve answers on all listeners until ctx ends, Close is called, or one of them fails. It closes the listeners. Errors:
// the first listener's, nil after Close.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener) error {
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	failures := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failures <- s.http.Serve(l) }()
	}
	var failed error
	for range listeners {
		err := <-failures
		if errors.Is(err, http.ErrServerClosed) || failed != nil {
			continue
		}
		failed = err
		s.http.Close() // one socket less is not the API that was asked for
	}
	return failed
}

// Close takes no new requests, ends streams, and waits for the other requests until ctx ends; then it closes their
// connections. Idempotent.
func (s *Server) Close(ctx context.Context) error {
	var err error
	s.ended.Do(func() {
		s.end()
		if err = s.http.Shutdown(ctx); err != nil {
			err = errors.Join(err, s.http.Close())
		}
		s.streams.closeAll()
	})
	return err
}
