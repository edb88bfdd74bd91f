package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"gantry/container/health"
	"gantry/container/record"
	"gantry/container/restart"
	"gantry/internal/atomicfile"
	"gantry/task"

	"github.com/moby/moby/api/types/mount"
)

// restorer brings records and world together when the daemon opens.
type restorer struct {
	*records
	creation *creator
	starts   *starter
	ends     *ender
	removal  *remover
	probes   *prober

	aside    map[string]bool // IDs in quarantine; written before the first request
	warnings []string        // written before the first request
}

// Warnings tells what restore had to put aside, for /info.
func (s *restorer) Warnings() []string { return s.warnings }

// Restore reads every container's directory and brings record and world together: running ones are
// adopted, ended ones recorded, half-done starts and removals undone or finished. A broken record
// is put aside, reported in Warnings, and stops nothing else. Restart policies are applied by Resume.
func (s *restorer) Restore(ctx context.Context) error {
	states, err := s.cfg.Tasks.Tasks(ctx)
	if err != nil {
		return err
	}
	running := map[string]task.State{}
	for _, t := range states {
		running[t.ID] = t
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := s.restoreOne(ctx, e.Name(), running); err != nil {
			s.quarantine(e.Name(), err)
		}
		delete(running, e.Name())
	}
	errs := []error{s.sweepLayers(ctx)}
	for id := range running { // tasks of containers that are gone
		if err := s.cfg.Tasks.SignalAll(ctx, id); err == nil {
			s.cfg.Log.Warn("task without a container killed", "container", id)
		}
	}
	return errors.Join(errs...)
}

// sweepLayers removes the rw layers that no container has: a create was killed before its record was written.
func (s *restorer) sweepLayers(ctx context.Context) error {
	ids, err := s.cfg.Storage.RWLayers(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if c, err := s.Get(id); err == nil && c.id == id {
			continue
		}
		if s.aside[id] {
			continue // its record may be repaired
		}
		errs = append(errs, s.cfg.Storage.RemoveRW(ctx, id))
	}
	return errors.Join(errs...)
}

// restoreOne loads a container; what it returns puts the record aside.
func (s *restorer) restoreOne(ctx context.Context, id string, running map[string]task.State) error {
	dir := filepath.Join(s.dir, id)
	r, err := load(dir)
	if errors.Is(err, os.ErrNotExist) && s.neverCreated(dir) {
		return errors.Join(s.cfg.Storage.RemoveRW(ctx, id), os.RemoveAll(dir))
	}
	if err != nil {
		return err
	}
	if r.ID != id {
		return fmt.Errorf("the record is of container %s", r.ID)
	}
	if err := s.index.reserve(r.Name, id); err != nil {
		return err
	}
	s.complete(ctx, r)
	if r.ProcessLabel != "" {
		if err := s.cfg.Security.AdoptLabels(r.ProcessLabel); err != nil {
			s.cfg.Log.Warn("SELinux level of a container not reserved", "container", id, "label", r.ProcessLabel, "error", err)
		}
	}
	c := newContainer(dir, r)
	s.index.add(c)
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	s.holdAgain(ctx, c, r)
	t, known := running[id]
	if err := s.reconcile(ctx, c, t, known); err != nil {
		s.cfg.Log.Error("container not restored in full", "container", id, "error", err)
	}
	return nil
}

// complete adds what dockerd does not write to a record, or not before the first start. The record is not published yet.
func (s *restorer) complete(ctx context.Context, r *record.Container) {
	if r.Chain == "" {
		if chain, err := s.cfg.Storage.ChainOf(ctx, r.ID); err == nil {
			r.Chain = chain
		}
	}
	if r.LogPath == "" {
		r.LogPath = s.logPath(r)
	}
}

// neverCreated reports whether a directory is what a create left that was killed: there is nothing in it yet, or files without
// their names, of which that of the record comes last.
func (s *restorer) neverCreated(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	unnamed := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return atomicfile.Temporary(e.Name()) })
	return !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return !atomicfile.Temporary(e.Name()) && !(unnamed && e.Name() == record.HostConfigFile)
	})
}

// holdAgain keeps image and volumes; one that is missing is reported when the container starts.
func (s *restorer) holdAgain(ctx context.Context, c *Container, r *record.Container) {
	if err := s.creation.hold(ctx, c, r); err != nil {
		s.cfg.Log.Warn("image of a container is missing", "container", c.id, "image", r.ImageID, "error", err)
	}
	if err := s.creation.holdMountedImages(ctx, c, r); err != nil {
		s.cfg.Log.Warn("image among the mounts of a container is missing", "container", c.id, "error", err)
	}
	for _, m := range r.Mounts {
		if m.Type != mount.TypeVolume || m.Name == "" {
			continue
		}
		if err := s.creation.holdVolume(ctx, c, r, m); err != nil {
			s.cfg.Log.Warn("volume of a container is missing", "container", c.id, "volume", m.Name, "error", err)
		}
	}
}

// reconcile brings a loaded record to what the supervisor says; the caller holds the lock.
func (s *restorer) reconcile(ctx context.Context, c *Container, t task.State, known bool) error {
	r := c.Record()
	alive := known && t.Exited == nil
	switch {
	case r.Status == record.Removing || r.Status == record.Dead:
		if alive {
			if err := s.cfg.Tasks.SignalAll(ctx, c.id); err != nil {
				return err
			}
		}
		return s.removal.removeLocked(ctx, c, RemoveOptions{})
	case alive:
		return s.adopt(ctx, c, t)
	case r.Up() || r.Status == record.Starting && known:
		return s.endedMeanwhile(ctx, c, t)
	case r.Status == record.Starting:
		return s.undoStart(ctx, c)
	case known:
		return s.cfg.Tasks.Acknowledge(ctx, c.id, t.Run)
	}
	return nil
}

// adopt takes over a container that ran on while there was no daemon.
func (s *restorer) adopt(ctx context.Context, c *Container, t task.State) error {
	r := c.Record()
	to := record.Running
	if t.Paused {
		to = record.Paused
	}
	if !slices.Contains(edges[r.Status], to) && r.Status != to {
		// The record says that it is stopped; the process says otherwise, and it is right.
		if err := s.transition(c, record.Starting, nil); err != nil {
			return err
		}
	}
	c.logBegins()
	err := s.transition(c, to, func(r *record.Container) {
		r.Pid, r.Run, r.StartedAt = t.Pid, t.Run, t.Started.UTC()
		r.StartedBefore = true
		if r.Health == nil {
			r.Health = initialHealth(r)
		}
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range r.Mounts {
		if m.Name != "" {
			_, err := s.cfg.Volumes.Mount(ctx, m.Name, c.id)
			errs = append(errs, err)
		}
	}
	if !r.HostConfig.NetworkMode.IsContainer() {
		sb := Sandbox{ID: r.SandboxID, Key: r.NetnsPath, Endpoints: r.Networks, Ports: r.Ports}
		req := s.networkRequest(r)
		if hosts, err := s.linkHosts(r); err == nil {
			req.Hosts = slices.Concat(req.Hosts, hosts)
		}
		now, err := s.cfg.Networks.Adopt(ctx, req, sb)
		if now != nil && !reflect.DeepEqual(now.Endpoints, r.Networks) {
			err = errors.Join(err, s.amend(c, func(r *record.Container) { r.Networks, r.Ports = now.Endpoints, now.Ports }))
		}
		errs = append(errs, err)
	}
	s.probes.startHealth(c)
	return errors.Join(append(errs, s.starts.holdRunning(ctx, c))...)
}

// endedMeanwhile records an end that nobody was there to see. What is not known is said to be unknown.
func (s *restorer) endedMeanwhile(ctx context.Context, c *Container, t task.State) error {
	r := c.Record()
	e := task.Exit{ID: c.id, Run: r.Run, Code: 255, Unknown: true, At: time.Now()}
	if t.Exited != nil {
		e = *t.Exited
	} else if data, err := os.ReadFile(filepath.Join(c.dir, exitFile)); err == nil {
		var left task.Exit
		if json.Unmarshal(data, &left) == nil && left.Run == r.Run {
			e = left
		}
	}
	if r.Status == record.Starting {
		if err := s.transition(c, record.Running, func(r *record.Container) {
			r.Run, r.StartedAt, r.StartedBefore = e.Run, t.Started.UTC(), true
		}); err != nil {
			return err
		}
	}
	if r.StartedAt.IsZero() || !r.Up() {
		c.logBegins() // publish closes what a run has opened
	}
	released := s.ends.releaseRun(ctx, c)
	next := restart.Decision{}
	if err := s.ends.recordExit(c, e, next); err != nil {
		return err
	}
	if t.Exited != nil {
		released = errors.Join(released, s.cfg.Tasks.Acknowledge(ctx, c.id, e.Run))
	}
	return released
}

// undoStart is for a start that was killed before the runtime had been called.
func (s *restorer) undoStart(ctx context.Context, c *Container) error {
	to := record.Exited
	if c.Record().StartedAt.IsZero() {
		to = record.Created
	}
	released := s.ends.releaseRun(ctx, c)
	return errors.Join(released, s.transition(c, to, func(r *record.Container) {
		r.Pid, r.SandboxID, r.NetnsPath, r.Ports = 0, "", "", nil
		r.Networks, r.Health = wantedOnly(r), health.Ended(r.Health)
		r.Error = "the daemon was killed while the container was being started"
	}))
}

// quarantine moves a broken record where the next start does not find it, whole.
func (s *restorer) quarantine(id string, why error) {
	aside := filepath.Join(s.cfg.Root, "quarantine")
	to := filepath.Join(aside, fmt.Sprintf("%s-%d", id, time.Now().Unix()))
	err := os.MkdirAll(aside, 0o700)
	if err == nil {
		err = os.Rename(filepath.Join(s.dir, id), to)
	}
	if err == nil {
		err = atomicfile.SyncDir(aside)
	}
	s.aside[id] = true
	s.cfg.Log.Warn("container record put aside", "container", id, "reason", why, "moved-to", to, "error", err)
	s.warnings = append(s.warnings, fmt.Sprintf("WARNING: the record of container %s is broken and was moved to %s: %v", id, to, why))
}
