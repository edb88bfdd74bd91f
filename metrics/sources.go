package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Engine is what does not change.
type Engine struct {
	ID, Version, Commit   string
	Architecture, Kernel  string
	OS, OSType, OSVersion string
	StorageDriver         string
	CPUs                  int
	Memory                int64 // bytes
}

// Sources are asked when the metrics are read. Each may be nil.
type Sources struct {
	// States counts containers.
	States func() (running, paused, stopped int)
	// Subscribers is the number of clients that follow the events.
	Subscribers func() int
	// Events is the number of events since the start.
	Events func() uint64
}

// Describe adds what is known once the rooms are open. Once.
func (s *Service) Describe(e Engine, from Sources) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: daemonNamespace, Subsystem: daemonSubsystem, Name: "engine_info",
		Help: "The information related to the engine and the OS it is running on",
		ConstLabels: prometheus.Labels{
			"version": e.Version, "commit": e.Commit, "architecture": e.Architecture, "graphdriver": e.StorageDriver, "kernel": e.Kernel,
			"os": e.OS, "os_type": e.OSType, "os_version": e.OSVersion, "daemon_id": e.ID,
		},
	})
	info.Set(1)
	cpus := prometheus.NewGauge(prometheus.GaugeOpts(daemonOpts("engine_cpus_cpus", "The number of cpus that the host system of the engine has")))
	cpus.Set(float64(e.CPUs))
	memory := prometheus.NewGauge(prometheus.GaugeOpts(daemonOpts("engine_memory_bytes", "The number of bytes of memory that the host system of the engine has")))
	memory.Set(float64(e.Memory))
	s.registry.MustRegister(info, cpus, memory, newStates(from.States))
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts(daemonOpts("events_subscribers_total",
		"The number of current subscribers to events")), func() float64 {
		if from.Subscribers == nil {
			return 0
		}
		return float64(from.Subscribers())
	}))
	s.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts(daemonOpts("events_total", "The number of events logged")), func() float64 {
		if from.Events == nil {
			return 0
		}
		return float64(from.Events())
	}))
}

// states reads the three counts at once, so that they fit each other.
type states struct {
	count func() (running, paused, stopped int)
	desc  *prometheus.Desc
}

func newStates(count func() (running, paused, stopped int)) states {
	if count == nil {
		count = func() (int, int, int) { return 0, 0, 0 }
	}
	return states{count, prometheus.NewDesc(prometheus.BuildFQName(daemonNamespace, daemonSubsystem, "container_states_containers"),
		"The count of containers in various states", []string{"state"}, nil)}
}

func (s states) Describe(to chan<- *prometheus.Desc) { to <- s.desc }

func (s states) Collect(to chan<- prometheus.Metric) {
	running, paused, stopped := s.count()
	for state, n := range map[string]int{"running": running, "paused": paused, "stopped": stopped} {
		to <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, float64(n), state)
	}
}
