// Package metrics counts and times what the engine does, for Prometheus.
//
// The metrics of dockerd have its names, engine_daemon_*, so that dashboards go on; those of gantry alone begin
// with gantry_. An observation is one measured duration. A source is asked when the metrics are read.
//
// There is no global state: a Service has a registry of its own. Labels are names from a fixed set, never those of
// containers or images, so that memory does not grow with their number.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const (
	daemonNamespace = "engine"
	daemonSubsystem = "daemon"
	ownNamespace    = "gantry"
)

// Service is the metrics of one daemon. Safe for concurrent use.
type Service struct {
	registry *prometheus.Registry

	containerActions *prometheus.HistogramVec
	networkActions   *prometheus.HistogramVec
	imageActions     *prometheus.HistogramVec
	hostInfo         *prometheus.HistogramVec
	healthChecks     prometheus.Counter
	healthFailures   prometheus.Counter
	healthStart      prometheus.Histogram
	healthDuration   prometheus.Histogram
	requests         *prometheus.HistogramVec
	startSteps       *prometheus.GaugeVec
}

// New makes the metrics; those of actions exist from the start, at zero, as in dockerd.
func New() *Service {
	s := &Service{
		registry:         prometheus.NewRegistry(),
		containerActions: timers("container_actions_seconds", "The number of seconds it takes to process each container action", "action"),
		networkActions:   timers("network_actions_seconds", "The number of seconds it takes to process each network action", "action"),
		imageActions:     timers("image_actions_seconds", "The number of seconds it takes to process each image action", "action"),
		hostInfo:         timers("host_info_functions_seconds", "The number of seconds it takes to call functions gathering info about the host", "function"),
		healthChecks:     prometheus.NewCounter(prometheus.CounterOpts(daemonOpts("health_checks_total", "The total number of health checks"))),
		healthFailures:   prometheus.NewCounter(prometheus.CounterOpts(daemonOpts("health_checks_failed_total", "The total number of failed health checks"))),
		healthStart: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: daemonNamespace, Subsystem: daemonSubsystem, Name: "health_check_start_duration_seconds",
			Help: "The number of seconds it takes to prepare to run health checks",
		}),
		healthDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ownNamespace, Name: "health_check_seconds", Help: "The number of seconds that health checks run",
		}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ownNamespace, Name: "api_request_seconds", Help: "The number of seconds until an API request has been served",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10}, // few, because there is a histogram for each route
		}, []string{"route"}),
		startSteps: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: ownNamespace, Name: "start_step_seconds", Help: "The number of seconds that each step of the daemon's start took",
		}, []string{"step"}),
	}
	s.registry.MustRegister(s.containerActions, s.networkActions, s.imageActions, s.hostInfo, s.healthChecks, s.healthFailures, s.healthStart,
		s.healthDuration, s.requests, s.startSteps, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.registerBuilder()
	for vec, labels := range map[*prometheus.HistogramVec][]string{
		s.containerActions: {"changes", "commit", "create", "delete", "start"},
		s.networkActions:   {"allocate", "connect", "release"},
		s.hostInfo:         {"system_info", "system_version"},
	} {
		for _, label := range labels {
			vec.WithLabelValues(label)
		}
	}
	return s
}

func daemonOpts(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: daemonNamespace, Subsystem: daemonSubsystem, Name: name, Help: help}
}

func timers(name, help, label string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: daemonNamespace, Subsystem: daemonSubsystem, Name: name, Help: help,
	}, []string{label})
}

// registerBuilder adds the counters that dashboards of dockerd's have; there is no builder yet, so they stay at zero.
func (s *Service) registerBuilder() {
	triggered := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "builder", Name: "builds_triggered_total", Help: "Number of triggered image builds"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "builder", Name: "builds_failed_total", Help: "Number of failed image builds"}, []string{"reason"})
	for _, reason := range []string{
		"build_canceled", "build_target_not_reachable_error", "command_not_supported_error", "dockerfile_empty_error",
		"dockerfile_syntax_error", "error_processing_commands_error", "missing_onbuild_arguments_error", "unknown_instruction_error",
	} {
		failed.WithLabelValues(reason)
	}
	s.registry.MustRegister(triggered, failed)
}

// ContainerAction observes an action on a container: create, start, delete, commit, changes.
func (s *Service) ContainerAction(action string, took time.Duration) {
	s.containerActions.WithLabelValues(action).Observe(took.Seconds())
}

// NetworkAction observes an action on a network: allocate, connect, release.
func (s *Service) NetworkAction(action string, took time.Duration) {
	s.networkActions.WithLabelValues(action).Observe(took.Seconds())
}

// ImageAction observes an action on an image: pull, push, load, delete.
func (s *Service) ImageAction(action string, took time.Duration) {
	s.imageActions.WithLabelValues(action).Observe(took.Seconds())
}

// HostInfo observes a question about the host: system_info, system_version.
func (s *Service) HostInfo(function string, took time.Duration) {
	s.hostInfo.WithLabelValues(function).Observe(took.Seconds())
}

// HealthCheck counts a health check.
func (s *Service) HealthCheck(failed bool, took time.Duration) {
	s.healthChecks.Inc()
	if failed {
		s.healthFailures.Inc()
	}
	s.healthDuration.Observe(took.Seconds())
}

// HealthCheckStart observes how long it took until a health check ran.
func (s *Service) HealthCheckStart(took time.Duration) { s.healthStart.Observe(took.Seconds()) }

// Request observes an API request by its route, "GET /containers/{id}/json".
func (s *Service) Request(route string, took time.Duration) {
	s.requests.WithLabelValues(route).Observe(took.Seconds())
}

// StartStep keeps how long a step of the start took.
func (s *Service) StartStep(step string, took time.Duration) {
	s.startSteps.WithLabelValues(step).Set(took.Seconds())
}
