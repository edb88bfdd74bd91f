// Package container holds containers as the user knows them: their records, names and life.
//
// A record (package record) is an immutable value that readers load without a lock. A
// transition is the one way to change it: check the edge, write the file, publish the
// pointer, tell the world. A task (package task) is the running side of a container.
package container

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gantry/container/spec"
	"gantry/events"
	"gantry/security"
	"gantry/storage"
	"gantry/task"

	"github.com/moby/moby/api/types/container"
)

// Config is what the room stands on.
type Config struct {
	Root      string // data root; the room's own is Root/containers
	Images    Images
	Volumes   Volumes
	Networks  Networks
	Endpoints Endpoints
	Storage   *storage.Service
	Tasks     *task.Service
	Security  *security.Service
	Events    *events.Journal
	Settings  Settings
	Log       *slog.Logger
	// Observe is told how long an action took, in dockerd's words: create, start, delete, commit, changes. May be nil.
	Observe func(action string, took time.Duration)
	// Probed is told of every health check. May be nil.
	Probed func(failed bool, took time.Duration)
}

// Settings are the daemon's part of every container. They change on reload.
type Settings struct {
	Spec         spec.Daemon
	LogDriver    string
	LogOptions   map[string]string
	IpcMode      container.IpcMode
	CgroupnsMode container.CgroupnsMode
	NCPU         int
	NoBridge     bool          // --bridge=none: containers are in no network unless they say so
	StopAll      time.Duration // how long Shutdown may take
}

// Service is the life cycle of containers, put together of one type for each part of it. Safe for concurrent use.
type Service struct {
	*records
	*creator
	*starter
	*stopper
	*ender
	*remover
	*restorer
	*lister
	*execs
}

// records are all containers, and the one way to change them. Every part of the service stands on them.
type records struct {
	cfg      Config
	dir      string // Root/containers
	settings atomic.Pointer[Settings]
	index    index

	ctx    context.Context // ends at Close: what outlives a request
	cancel context.CancelFunc
	work   sync.WaitGroup // exits, restarts and health checks in flight
	closed atomic.Bool    // set before Shutdown: nothing is restarted any more
}

// Open reads nothing yet: Restore does, when what it needs is there.
func Open(_ context.Context, cfg Config) (*Service, error) {
	all := &records{cfg: cfg, dir: filepath.Join(cfg.Root, "containers")}
	all.index.init()
	all.settings.Store(&cfg.Settings)
	all.ctx, all.cancel = context.WithCancel(context.Background())

	create := &creator{all}
	run := &execs{records: all, running: map[string]*ExecRun{}}
	probes := &prober{all, run}
	stop := &stopper{all}
	remove := &remover{all, stop}
	start := &starter{all, probes, remove}
	end := &ender{all, start, remove}
	restore := &restorer{records: all, creation: create, starts: start, ends: end, removal: remove, probes: probes, aside: map[string]bool{}}
	s := &Service{all, create, start, stop, end, remove, restore, &lister{all, run}, run}
	return s, os.MkdirAll(s.dir, 0o710)
}

// Close ends everything in the background and waits for it. Containers run on: see Shutdown.
func (s *Service) Close(context.Context) error {
	s.closed.Store(true)
	s.cancel()
	for _, c := range s.index.all() {
		c.stopHealth()
	}
	s.work.Wait()
	return nil
}

// Reload replaces the settings; running containers keep those that they were started with.
func (s *Service) Reload(_ context.Context, set Settings) { s.settings.Store(&set) }

// Counts for /info and metrics.
type Counts struct{ Total, Running, Paused, Stopped int }

// Count reads every record: O(containers), without waiting for any of them.
func (s *records) Count() Counts {
	var n Counts
	for _, c := range s.index.all() {
		n.Total++
		switch c.Record().Status {
		case "running", "restarting":
			n.Running++
		case "paused":
			n.Paused++
		default:
			n.Stopped++
		}
	}
	return n
}

// observe is for `defer s.observe("start", time.Now())`.
func (s *records) observe(action string, began time.Time) {
	if s.cfg.Observe != nil {
		s.cfg.Observe(action, time.Since(began))
	}
}

// background runs fn until Close, outside of any request.
func (s *records) background(fn func(context.Context)) {
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		fn(s.ctx)
	}()
}
