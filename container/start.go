package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gantry/container/record"
	"gantry/internal/fault"
	"gantry/internal/undo"
	"gantry/task"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// starter turns a created or ended container into a running task.
type starter struct {
	*records
	probes  *prober
	removal *remover // of a container with --rm that did not start
}

// Start runs it. Errors: not modified (it runs), conflict (paused, being removed), and what the runtime
// says.
func (s *starter) Start(ctx context.Context, ref string) error {
	defer s.observe("start", time.Now())
	c, err := s.locked(ctx, ref)
	if err != nil {
		return err
	}
	defer c.unlock()
	switch r := c.Record(); r.Status {
	case record.Running:
		return errdefs.ErrNotModified.WithMessage("container " + r.ID + " is already running")
	case record.Paused:
		return errdefs.ErrConflict.WithMessage("cannot start a paused container, try unpause instead")
	case record.Removing, record.Dead:
		return errdefs.ErrConflict.WithMessage("container is marked for removal and cannot be started")
	}
	c.cancelRestart()
	return s.start(context.WithoutCancel(ctx), c, true)
}

// start is the stages of a start; the caller holds the lock. byUser resets what a restart policy counts.
func (s *starter) start(ctx context.Context, c *Container, byUser bool) (err error) {
	before := c.Record().Status
	if err := s.transition(c, record.Starting, func(r *record.Container) {
		r.Error = ""
		if byUser {
			r.RestartCount, r.ManuallyStopped = 0, false
		}
	}); err != nil {
		return err
	}
	fault.Point("container.start.starting")
	var u undo.Stack
	defer func() {
		if err != nil {
			err = errors.Join(err, u.Unwind(ctx), s.startFailed(ctx, c, before, err))
		}
	}()
	started, err := s.launch(ctx, c, &u)
	if err != nil {
		return err
	}
	fault.Point("container.start.task")
	return s.started(c, started)
}

// launch acquires what a running container needs and calls the runtime.
func (s *starter) launch(ctx context.Context, c *Container, u *undo.Stack) (task.State, error) {
	if err := s.cfg.Tasks.Settled(ctx, c.id); err != nil {
		return task.State{}, err
	}
	p := prepared{container: c, settings: s.settings.Load()}
	u.Push("close root", func(context.Context) error { return p.close() })
	for _, stage := range []struct {
		name string
		run  func(context.Context, *prepared, *undo.Stack) error
	}{
		{"volumes", s.mountVolumes},
		{"network", s.connect},
		{"trees", s.mountTrees},
		{"root", s.openRoot},
		{"shm", s.mountShm},
		{"spec", s.buildSpec},
	} {
		if err := stage.run(ctx, &p, u); err != nil {
			return task.State{}, err
		}
		fault.Point("container.start." + stage.name)
	}
	r := c.Record()
	started, err := s.cfg.Tasks.Start(ctx, task.Spec{
		ID: r.ID, OCI: p.spec, Runtime: r.HostConfig.Runtime, Root: p.root,
		Process: c.Process(), Log: r.HostConfig.LogConfig.Type, LogInfo: c.LogInfo(),
		ExitFile: filepath.Join(c.dir, exitFile),
	})
	if err != nil {
		return task.State{}, err
	}
	return started, p.close()
}

// exitFile is where the supervisor leaves how a container ended, in the container's directory.
const exitFile = "exit.json"

// Process says what the init process is connected to.
func (c *Container) Process() task.Process {
	r := c.Record()
	return task.Process{
		Terminal: r.Config.Tty, ConsoleSize: r.HostConfig.ConsoleSize,
		OpenStdin: r.Config.OpenStdin, StdinOnce: r.Config.StdinOnce,
	}
}

// started makes it known that a task runs.
func (s *starter) started(c *Container, t task.State) error {
	c.logBegins()
	err := s.transition(c, record.Running, func(r *record.Container) {
		r.Pid, r.Run, r.StartedAt = t.Pid, t.Run, t.Started.UTC()
		r.StartedBefore, r.OOMKilled, r.ExitCode, r.Error = true, false, 0, ""
		r.Health = initialHealth(r)
	})
	if err != nil {
		// The task runs and its record cannot be written: end it rather than lose it.
		return errors.Join(err, s.cfg.Tasks.SignalAll(s.ctx, c.id))
	}
	fault.Point("container.start.running")
	s.Announce(c.Record(), events.ActionStart, nil)
	s.probes.startHealth(c)
	s.tellParents(s.ctx, c)
	return s.holdRunning(s.ctx, c)
}

// startFailed records why; the caller has released what was acquired.
func (s *starter) startFailed(ctx context.Context, c *Container, before record.Status, cause error) error {
	after := record.Exited
	if c.Record().StartedAt.IsZero() {
		after = record.Created
	}
	code := exitCodeOf(cause)
	err := s.transition(c, after, func(r *record.Container) {
		r.Error, r.ExitCode, r.Pid = cause.Error(), code, 0
		if before == record.Restarting || after == record.Exited {
			r.FinishedAt = time.Now().UTC()
		}
	})
	if err == nil && c.Record().HostConfig.AutoRemove {
		err = s.removal.removeLocked(ctx, c, RemoveOptions{Volumes: true})
	}
	return err
}

// exitCodeOf is the shell's convention, which the CLI prints: 127 for a command that is
// not there, 126 for one that cannot be executed, 128 for what failed before.
func exitCodeOf(err error) int {
	if code := task.ExitCode(err); code != 0 {
		return code
	}
	return 128
}

// mountVolumes makes the data of every volume available, and the sources of binds that may be made.
func (s *starter) mountVolumes(ctx context.Context, p *prepared, u *undo.Stack) error {
	r := p.container.Record()
	for _, m := range r.Mounts {
		source := m.Source
		switch {
		case m.Name != "":
			path, err := s.cfg.Volumes.Mount(ctx, m.Name, r.ID)
			if err != nil {
				return err
			}
			u.Push("unmount volume "+m.Name, func(ctx context.Context) error { return s.cfg.Volumes.Unmount(ctx, m.Name, r.ID) })
			source = path
		case m.Type == "bind":
			if err := bindSource(m); err != nil {
				return err
			}
		}
		if err := s.relabel(m, source, r.MountLabel); err != nil {
			return err
		}
		p.sources = append(p.sources, mountSource{point: m, path: source})
	}
	return nil
}

// relabel does what the options z and Z ask for: the source gets the container's SELinux label, shared between containers or its
// own.
func (s *starter) relabel(m *record.MountPoint, source, label string) error {
	options := strings.Split(m.Mode, ",")
	if shared := slices.Contains(options, "z"); shared || slices.Contains(options, "Z") {
		return s.cfg.Security.Relabel(source, label, shared)
	}
	return nil
}

// bindSource makes a missing directory, as -v always did; --mount says that it must be there.
func bindSource(m *record.MountPoint) error {
	_, err := os.Stat(m.Source)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if m.MustExist {
		return invalid(fmt.Sprintf("invalid mount config for type \"bind\": bind source path does not exist: %s", m.Source))
	}
	if err := os.MkdirAll(m.Source, 0o755); err != nil {
		return fmt.Errorf("error while creating mount source path '%s': %w", m.Source, err)
	}
	return nil
}

// connect gives the container its network namespace, or that of a peer.
func (s *starter) connect(ctx context.Context, p *prepared, u *undo.Stack) error {
	r := p.container.Record()
	if mode := r.HostConfig.NetworkMode; mode.IsContainer() {
		peer, err := s.runningPeer(mode.ConnectedContainer(), "network")
		if err != nil {
			return err
		}
		pr := peer.Record()
		p.netns = fmt.Sprintf("/proc/%d/ns/net", pr.Pid)
		p.filesFrom = peer.dir
		return s.amendVolatile(p.container, func(r *record.Container) {
			config := *r.Config
			config.Hostname, config.Domainname = pr.Config.Hostname, pr.Config.Domainname
			r.Config = &config
		})
	}
	req := s.networkRequest(r)
	hosts, err := s.linkHosts(r)
	if err != nil {
		return err
	}
	req.Hosts = slices.Concat(req.Hosts, hosts)
	sb, err := s.cfg.Networks.Connect(ctx, req)
	if err != nil {
		return err
	}
	u.Push("disconnect", func(ctx context.Context) error { return s.cfg.Networks.Disconnect(ctx, r.ID) })
	p.netns, p.filesFrom = sb.Key, p.container.dir
	if r.HostConfig.NetworkMode.IsHost() {
		p.netns = ""
	}
	return s.amendVolatile(p.container, func(r *record.Container) {
		r.SandboxID, r.NetnsPath, r.Ports = sb.ID, sb.Key, sb.Ports
		r.Networks = sb.Endpoints
	})
}

// amendVolatile changes what the next transition is going to write.
func (s *records) amendVolatile(c *Container, change func(*record.Container)) error {
	next := *c.Record()
	change(&next)
	c.publish(&next)
	return nil
}

func (s *records) networkRequest(r *record.Container) NetworkRequest {
	h := r.HostConfig
	return NetworkRequest{
		ContainerID: r.ID, Name: r.Name, Hostname: r.Config.Hostname, Domainname: r.Config.Domainname,
		Mode: modeName(h.NetworkMode), Endpoints: r.Networks,
		Exposed: r.Config.ExposedPorts, Ports: h.PortBindings, Publish: h.PublishAllPorts,
		DNS: h.DNS, DNSOption: h.DNSOptions, DNSSearch: h.DNSSearch, Hosts: h.ExtraHosts,
		Dir: filepath.Join(s.dir, r.ID),
	}
}

// peer finds the container of a container:X mode.
func (s *records) peer(ref string) (*Container, error) { return s.Get(ref) }

func (s *records) runningPeer(ref, what string) (*Container, error) {
	c, err := s.peer(ref)
	if err != nil {
		return nil, err
	}
	r := c.Record()
	if r.Status == record.Restarting {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", r.ID))
	}
	if !r.Up() {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot join %s of a non running container: %s", what, r.ID))
	}
	return c, nil
}
