package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"gantry/internal/testkit"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// side is one engine.
type side struct {
	name   string // "dockerd" or "gantryd"
	engine *testkit.Engine
	client *client.Client
}

// startSides starts the engines, in that order.
func startSides(ctx context.Context, names []string) ([]*side, error) {
	if slices.Contains(names, "dockerd") {
		if err := installDocker(ctx); err != nil {
			return nil, err
		}
	}
	var sides []*side
	for _, name := range names {
		s, err := newSide(name)
		if err != nil {
			for _, s := range sides {
				s.close()
			}
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		sides = append(sides, s)
	}
	return sides, nil
}

// newSide starts an engine with what users get without any configuration, and gives it busybox.
func newSide(name string, args ...string) (*side, error) {
	e, err := testkit.New(testkit.Options{Engine: name, Args: append([]string{"--log-level=info"}, args...), Unchecked: true})
	if err != nil {
		return nil, err
	}
	s := &side{name: name, engine: e, client: e.Client()}
	if err := e.LoadBusybox(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *side) close() {
	_ = s.engine.Kill9() // nobody needs a clean stop
	_ = s.engine.Close()
	_ = os.RemoveAll(s.engine.Dir)
}

// installDocker installs Debian's docker.io if there is no dockerd, without starting it.
func installDocker(ctx context.Context) error {
	if _, err := exec.LookPath("dockerd"); err == nil {
		return nil
	}
	const policy = "/usr/sbin/policy-rc.d" // invoke-rc.d(8): 101 forbids the action
	if _, err := os.Stat(policy); err != nil {
		if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
			return err
		}
		defer os.Remove(policy)
	}
	for _, args := range [][]string{{"update", "-q"}, {"install", "-q", "-y", "--no-install-recommends", "docker.io", "containerd", "runc", "iptables"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("install docker.io (or leave it out: -engines gantryd): %w\n%s", err, out)
		}
	}
	return nil
}

// create makes a container of busybox and returns its ID.
func (s *side) create(ctx context.Context, c container.Config, h container.HostConfig) (string, error) {
	c.Image = testkit.BusyboxName
	r, err := s.client.ContainerCreate(ctx, client.ContainerCreateOptions{Config: &c, HostConfig: &h})
	return r.ID, err
}

func (s *side) start(ctx context.Context, id string) error {
	_, err := s.client.ContainerStart(ctx, id, client.ContainerStartOptions{})
	return err
}

func (s *side) remove(ctx context.Context, id string) error {
	_, err := s.client.ContainerRemove(context.WithoutCancel(ctx), id, client.ContainerRemoveOptions{Force: true})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// run creates and starts a container.
func (s *side) run(ctx context.Context, c container.Config, h container.HostConfig) (string, error) {
	id, err := s.create(ctx, c, h)
	if err != nil {
		return "", err
	}
	return id, s.start(ctx, id)
}

// many does f for n containers, 20 at a time, and returns the first error.
func many(n int, f func(i int) error) error {
	const width = 20
	slots := make(chan struct{}, width)
	errs := make(chan error, n)
	for i := range n {
		slots <- struct{}{}
		go func() {
			errs <- f(i)
			<-slots
		}()
	}
	var first error
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
