package container

import (
	"context"
	"sync"

	"gantry/container/record"
	"gantry/container/restart"
)

// Resume applies the restart policies of the containers that do not run, those that others depend on first,
// and removes those that should have been removed when they ended. Once, when everything else is open.
func (s *restorer) Resume(ctx context.Context) {
	var begin []*Container
	for _, c := range s.index.all() {
		r := c.Record()
		idle := r.Status == record.Exited || r.Status == record.Restarting || r.Status == record.Created
		switch {
		case !idle:
		case r.HostConfig.AutoRemove && r.StartedBefore:
			s.removeEnded(ctx, c)
		case restart.OnDaemonStart(r.HostConfig.RestartPolicy, r.ExitCode, r.StartedBefore, restart.State{Count: r.RestartCount, Stopped: r.ManuallyStopped}):
			begin = append(begin, c)
		}
	}
	started := map[string]*sync.Once{}
	for _, c := range begin {
		started[c.id] = &sync.Once{}
	}
	for _, c := range begin {
		s.background(func(ctx context.Context) { s.resumeOne(ctx, c, started, 0) })
	}
}

// maxDepth ends the walk through containers that join each other's namespaces: a cycle cannot start anyway.
const maxDepth = 16

func (s *restorer) resumeOne(ctx context.Context, c *Container, started map[string]*sync.Once, depth int) {
	for _, on := range s.dependsOn(c) {
		if started[on.id] != nil && on != c && depth < maxDepth {
			s.resumeOne(ctx, on, started, depth+1)
		}
	}
	started[c.id].Do(func() {
		if c.lock(ctx) != nil {
			return
		}
		defer c.unlock()
		if r := c.Record(); c.Gone() || r.Up() {
			return
		}
		if err := s.starts.start(context.WithoutCancel(ctx), c, false); err != nil {
			s.cfg.Log.Error("container not started again", "container", c.id, "error", err)
			s.ends.retryStart(c, err)
		}
	})
}

// dependsOn are the containers whose namespaces this one joins.
func (s *restorer) dependsOn(c *Container) []*Container {
	h := c.Record().HostConfig
	var out []*Container
	for _, ref := range []string{h.NetworkMode.ConnectedContainer(), h.IpcMode.Container(), h.PidMode.Container()} {
		if on, err := s.Get(ref); ref != "" && err == nil {
			out = append(out, on)
		}
	}
	return out
}

func (s *restorer) removeEnded(ctx context.Context, c *Container) {
	if err := s.removal.Remove(ctx, c.id, RemoveOptions{Volumes: true}); err != nil {
		s.cfg.Log.Error("container not removed", "container", c.id, "error", err)
	}
}
