package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gantry/container/health"
	"gantry/container/record"
	"gantry/internal/atomicfile"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// The life of a container. Starting and removing are durable, so that restore
// knows what to undo.
//
//	          create            start              the runtime answers
//	(nothing) ──────▶ created ───────▶ starting ───────────────────▶ running ◀──▶ paused
//	                     │                │ ▲ start                     │            │
//	                     │        it fails│ │                       exit│            │
//	                     │                ▼ │        back-off           ▼            │
//	                     │               exited ◀──────────────── restarting ◀───────┤
//	                     │                  │ ◀─────────────────────────exit─────────┘
//	              remove ▼                  ▼ remove
//	                    removing ──▶ (nothing), or dead when it fails half way
var edges = map[record.Status][]record.Status{
	"":                {record.Created},
	record.Created:    {record.Starting, record.Removing},
	record.Starting:   {record.Running, record.Created, record.Exited, record.Restarting},
	record.Running:    {record.Paused, record.Exited, record.Restarting},
	record.Paused:     {record.Running, record.Exited, record.Restarting},
	record.Restarting: {record.Starting, record.Exited, record.Removing},
	record.Exited:     {record.Starting, record.Restarting, record.Removing},
	record.Removing:   {record.Dead},
	record.Dead:       {record.Removing},
}

// Container is one container: its record for readers, its lock for operations.
type Container struct {
	id  string
	dir string
	op  chan struct{} // full while an operation has the container; see lock

	record atomic.Pointer[record.Container]

	mu       sync.Mutex // guards all below
	changed  chan struct{}
	exits    uint64        // how often it has exited since it was loaded
	exiting  bool          // the next publish is an exit
	delay    time.Duration // before the last automatic restart
	removed  bool
	health   *health.Monitor
	holds    []func(context.Context) error // what keeps its image and volumes from being removed
	running  func(context.Context) error   // releases the hold of a running container; nil while it does not run
	stopping int                           // stops and kills under way: its restart policy is silent
	wake     context.CancelFunc            // ends the wait before an automatic restart; nil when there is none
	logEnded chan struct{}                 // closed when the current run's log is complete
}

func newContainer(dir string, r *record.Container) *Container {
	c := &Container{id: r.ID, dir: dir, op: make(chan struct{}, 1), changed: make(chan struct{}), logEnded: make(chan struct{})}
	if !r.Up() {
		close(c.logEnded)
	}
	c.record.Store(r)
	return c
}

// Record returns the current state without waiting for anybody. It is immutable.
func (c *Container) Record() *record.Container { return c.record.Load() }

// Dir is the container's directory in the data root.
func (c *Container) Dir() string { return c.dir }

// Ended is closed when the log of the current run is complete: at once if it does not run.
func (c *Container) Ended() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logEnded
}

// lock waits for the operations before it. Errors: ctx's.
func (c *Container) lock(ctx context.Context) error {
	select {
	case c.op <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Container) unlock() { <-c.op }

// Gone reports whether the container has been removed.
func (c *Container) Gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removed
}

// publish shows a record to readers and wakes who waits for a change.
func (c *Container) publish(r *record.Container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record.Store(r)
	if c.exiting {
		c.exits, c.exiting = c.exits+1, false
		close(c.logEnded) // the supervisor had it all written before it told
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// logBegins is a new run.
func (c *Container) logBegins() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logEnded = make(chan struct{})
}

// transition is the only way a record changes its status: check, write, show.
// The caller holds the operation lock, and publishes the event that fits. Errors: conflict (an edge that does
// not exist), and those of writing: then nothing has changed.
func (s *records) transition(c *Container, to record.Status, change func(*record.Container)) error {
	now := c.Record()
	if now.Status != to && !slices.Contains(edges[now.Status], to) {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is %s and cannot become %s", now.ID, now.Status, to))
	}
	return s.amend(c, func(r *record.Container) {
		r.Status = to
		if change != nil {
			change(r)
		}
	})
}

// amend changes a record without moving it in its life. The caller holds the operation lock.
func (s *records) amend(c *Container, change func(*record.Container)) error {
	now := c.Record()
	next := *now
	change(&next)
	if err := s.save(c, now, &next); err != nil {
		return fmt.Errorf("save container %s: %w", next.ID, err)
	}
	c.publish(&next)
	return nil
}

// save writes the files whose content differs.
func (s *records) save(c *Container, before, r *record.Container) error {
	if before == nil || !reflect.DeepEqual(before.HostConfig, r.HostConfig) {
		data, err := record.EncodeHostConfig(r)
		if err != nil {
			return err
		}
		if err := atomicfile.Write(filepath.Join(c.dir, record.HostConfigFile), data, 0o600); err != nil {
			return err
		}
	}
	data, err := record.Encode(r, c.dir)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(c.dir, record.ConfigFile), data, 0o600)
}

// stage writes both files of a new record, without their names.
func stage(c *Container, r *record.Container) (*atomicfile.Staged, error) {
	host, err := record.EncodeHostConfig(r)
	if err != nil {
		return nil, err
	}
	config, err := record.Encode(r, c.dir)
	if err != nil {
		return nil, err
	}
	return atomicfile.Stage(c.dir, map[string][]byte{record.HostConfigFile: host, record.ConfigFile: config}, 0o600)
}

// load reads a container's directory.
func load(dir string) (*record.Container, error) {
	config, err := os.ReadFile(filepath.Join(dir, record.ConfigFile))
	if err != nil {
		return nil, err
	}
	host, err := os.ReadFile(filepath.Join(dir, record.HostConfigFile))
	if err != nil {
		return nil, err
	}
	return record.Decode(config, host)
}

// Announce publishes an event of a container, with the attributes that dockerd gives: labels, image, name and extra.
func (s *records) Announce(r *record.Container, action events.Action, extra map[string]string) {
	attrs := make(map[string]string, len(r.Config.Labels)+len(extra)+2)
	for k, v := range r.Config.Labels {
		attrs[k] = v
	}
	for k, v := range extra {
		attrs[k] = v
	}
	if r.Config.Image != "" {
		attrs["image"] = r.Config.Image
	}
	attrs["name"] = r.Name
	s.cfg.Events.Publish(events.ContainerEventType, action, events.Actor{ID: r.ID, Attributes: attrs})
}

// await returns when ok holds, and what it held for. Errors: ctx's.
func (c *Container) await(ctx context.Context, ok func(r *record.Container, exits uint64, removed bool) bool) error {
	for {
		c.mu.Lock()
		done := ok(c.record.Load(), c.exits, c.removed)
		changed := c.changed
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// logPath is where json-file writes the log of a container; "" for other drivers.
func (s *records) logPath(r *record.Container) string {
	if r.HostConfig.LogConfig.Type != "json-file" {
		return ""
	}
	return filepath.Join(s.dir, r.ID, r.ID+"-json.log")
}
