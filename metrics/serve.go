package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// headerTimeout is how long a scraper may take to send its request.
	headerTimeout = 5 * time.Second
	// maxScrapes at a time; Prometheus makes one.
	maxScrapes = 4
)

// Handler answers GET with all metrics, in the format that the client prefers.
func (s *Service) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	})
}

// ServeConfig says where the metrics are served.
type ServeConfig struct {
	Metrics *Service
	Address string // host:port; "" for nowhere
}

// Server serves metrics.
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan struct{}
}

// Serve listens on the address and answers /metrics until Close. Errors: the address cannot be listened on.
func Serve(ctx context.Context, cfg ServeConfig) (*Server, error) {
	s := &Server{done: make(chan struct{})}
	if cfg.Address == "" {
		close(s.done)
		return s, nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("metrics-addr: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", cfg.Metrics.Handler())
	s.listener = l
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("metrics are no longer served", "address", l.Addr().String(), "error", err)
		}
	}()
	slog.InfoContext(ctx, "metrics are served", "address", l.Addr().String())
	return s, nil
}

// Address is where the metrics are served; "" for nowhere.
func (s *Server) Address() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close ends the server and waits for answers under way until ctx ends. Idempotent.
func (s *Server) Close(ctx context.Context) error {
	if s.http == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}
