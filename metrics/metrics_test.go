package metrics

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// scrape serves the metrics and reads them once.
func scrape(t *testing.T, m *Service) string {
	t.Helper()
	s, err := Serve(t.Context(), ServeConfig{Metrics: m, Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	r, err := http.Get("http://" + s.Address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestMetricsHaveDockerdsNames(t *testing.T) {
	m := New()
	m.Describe(Engine{ID: "me", Version: "1", StorageDriver: "overlayfs", CPUs: 2, Memory: 1 << 30}, Sources{
		States:      func() (int, int, int) { return 3, 2, 1 },
		Subscribers: func() int { return 4 },
		Events:      func() uint64 { return 5 },
	})
	m.ContainerAction("start", 20*time.Millisecond)
	m.NetworkAction("connect", time.Millisecond)
	m.ImageAction("load", time.Second)
	m.HostInfo("system_info", time.Millisecond)
	m.HealthCheck(false, time.Second)
	m.HealthCheck(true, time.Second)
	m.HealthCheckStart(time.Millisecond)
	m.Request("GET /info", time.Millisecond)
	m.StartStep("storage", 30*time.Millisecond)
	text := scrape(t, m)
	for _, want := range []string{
		`engine_daemon_container_states_containers{state="running"} 3`,
		`engine_daemon_container_states_containers{state="paused"} 2`,
		`engine_daemon_container_states_containers{state="stopped"} 1`,
		`engine_daemon_container_actions_seconds_count{action="start"} 1`,
		`engine_daemon_container_actions_seconds_count{action="commit"} 0`,
		`engine_daemon_network_actions_seconds_count{action="connect"} 1`,
		`engine_daemon_network_actions_seconds_count{action="allocate"} 0`,
		`engine_daemon_image_actions_seconds_count{action="load"} 1`,
		`engine_daemon_host_info_functions_seconds_count{function="system_info"} 1`,
		`engine_daemon_health_checks_total 2`,
		`engine_daemon_health_checks_failed_total 1`,
		`engine_daemon_health_check_start_duration_seconds_count 1`,
		`engine_daemon_engine_cpus_cpus 2`,
		`engine_daemon_engine_memory_bytes 1.073741824e+09`,
		`engine_daemon_events_total 5`,
		`engine_daemon_events_subscribers_total 4`,
		`engine_daemon_engine_info{architecture="",commit="",daemon_id="me",graphdriver="overlayfs",kernel="",os="",os_type="",os_version="",version="1"} 1`,
		`builder_builds_triggered_total 0`,
		`builder_builds_failed_total{reason="build_canceled"} 0`,
		`gantry_start_step_seconds{step="storage"} 0.03`,
		`gantry_api_request_seconds_count{route="GET /info"} 1`,
		`gantry_health_check_seconds_count 2`,
		`process_open_fds `,
		`go_goroutines `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("%s is missing", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestTwoDaemonsDoNotShareMetrics(t *testing.T) {
	a, b := New(), New()
	a.Describe(Engine{}, Sources{})
	b.Describe(Engine{}, Sources{})
	a.ContainerAction("start", time.Second)
	if text := scrape(t, b); !strings.Contains(text, `engine_daemon_container_actions_seconds_count{action="start"} 0`) {
		t.Error("b counts what a does")
	}
}

func TestNoAddressServesNothing(t *testing.T) {
	s, err := Serve(t.Context(), ServeConfig{Metrics: New()})
	if err != nil || s.Address() != "" {
		t.Fatalf("%v, %s", err, s.Address())
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTakenAddressIsAnError(t *testing.T) {
	s, err := Serve(t.Context(), ServeConfig{Metrics: New(), Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	if _, err := Serve(t.Context(), ServeConfig{Metrics: New(), Address: s.Address()}); err == nil || !strings.Contains(err.Error(), "metrics-addr") {
		t.Errorf("%v", err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("twice: %v", err)
	}
}
