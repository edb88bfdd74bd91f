package main

import (
	"context"
	"io"
	"net/netip"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// lifeRows ask what containers cost from create to remove.
func lifeRows(n func(full, quick int) int) []row {
	idle := container.Config{Cmd: []string{"sleep", "100000"}}
	published := network.PortMap{network.MustParsePort("80/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1")}}}
	return []row{
		lifeRow("life-bridge", "create + start + wait + remove, bridge network", n(31, 6), container.HostConfig{}),
		lifeRow("life-host", "the same, host network", n(31, 6), container.HostConfig{NetworkMode: "host"}),
		lifeRow("life-none", "the same, no network", n(31, 6), container.HostConfig{NetworkMode: "none"}),
		lifeRow("life-port", "the same, bridge network and a published port", n(21, 6), container.HostConfig{PortBindings: published}),
		{
			name: "life-many", what: "100 containers, 20 at a time, per container", unit: "ms", goal: 10, rounds: n(3, 1),
			once: func(ctx context.Context, s *side) (float64, error) {
				count := n(100, 20)
				ms, err := timed(func() error {
					return many(count, func(int) error { return life(ctx, s, container.HostConfig{}) })
				})
				return ms / float64(count), err
			},
		},
		{
			name: "create", what: "create alone", unit: "ms", goal: 4, rounds: n(51, 11),
			once: func(ctx context.Context, s *side) (float64, error) {
				var id string
				ms, err := timed(func() (err error) {
					id, err = s.create(ctx, idle, container.HostConfig{})
					return err
				})
				if err == nil {
					err = s.remove(ctx, id)
				}
				return ms, err
			},
		},
		{
			name: "remove", what: "remove alone", unit: "ms", goal: 4, rounds: n(51, 11),
			once: func(ctx context.Context, s *side) (float64, error) {
				id, err := s.create(ctx, idle, container.HostConfig{})
				if err != nil {
					return 0, err
				}
				return timed(func() error { return s.remove(ctx, id) })
			},
		},
		{name: "start", what: "start alone, bridge network", unit: "ms", goal: 6, rounds: n(21, 6), once: startOnce},
		{name: "stop", what: "stop alone, of a container that ends at SIGTERM", unit: "ms", goal: 4, rounds: n(21, 6), once: stopOnce},
		execRow(n(51, 11)),
	}
}

func lifeRow(name, what string, rounds int, h container.HostConfig) row {
	return row{name: name, what: what, unit: "ms", goal: 10, rounds: rounds, once: func(ctx context.Context, s *side) (float64, error) {
		return timed(func() error { return life(ctx, s, h) })
	}}
}

// life is a whole life of a container of true.
func life(ctx context.Context, s *side, h container.HostConfig) error {
	id, err := s.create(ctx, container.Config{Cmd: []string{"true"}}, h)
	if err != nil {
		return err
	}
	next := s.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if err := s.start(ctx, id); err != nil {
		return err
	}
	select {
	case <-next.Result:
	case err := <-next.Error:
		return err
	}
	return s.remove(ctx, id)
}

func startOnce(ctx context.Context, s *side) (float64, error) {
	id, err := s.create(ctx, container.Config{Cmd: []string{"sleep", "100000"}}, container.HostConfig{})
	if err != nil {
		return 0, err
	}
	ms, err := timed(func() error { return s.start(ctx, id) })
	if err == nil {
		err = s.remove(ctx, id)
	}
	return ms, err
}

func stopOnce(ctx context.Context, s *side) (float64, error) {
	id, err := s.create(ctx, container.Config{Cmd: []string{"sh", "-c", "trap 'exit 0' TERM; echo ready; sleep 100000 & wait"}}, container.HostConfig{})
	if err != nil {
		return 0, err
	}
	conn, err := s.client.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdout: true})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := s.start(ctx, id); err != nil {
		return 0, err
	}
	if _, err := conn.Reader.ReadString('\n'); err != nil { // the trap is set
		return 0, err
	}
	ms, err := timed(func() error {
		_, err := s.client.ContainerStop(ctx, id, client.ContainerStopOptions{})
		return err
	})
	if err == nil {
		err = s.remove(ctx, id)
	}
	return ms, err
}

// execRow asks for exec of true in a running container, to its exit code.
func execRow(rounds int) row {
	ids := map[*side]string{}
	return row{
		name: "exec", what: "exec of true in a running container", unit: "ms", goal: 5, rounds: rounds,
		prepare: func(ctx context.Context, s *side) (func(), error) {
			id, err := s.run(ctx, container.Config{Cmd: []string{"sleep", "100000"}}, container.HostConfig{})
			ids[s] = id
			var u undo
			u.add(func() error { return s.remove(ctx, id) })
			return u.run, err
		},
		once: func(ctx context.Context, s *side) (float64, error) {
			return timed(func() error { return execTrue(ctx, s, ids[s]) })
		},
	}
}

func execTrue(ctx context.Context, s *side, id string) error {
	e, err := s.client.ExecCreate(ctx, id, client.ExecCreateOptions{Cmd: []string{"true"}, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return err
	}
	conn, err := s.client.ExecAttach(ctx, e.ID, client.ExecAttachOptions{})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.Copy(io.Discard, conn.Reader); err != nil {
		return err
	}
	_, err = s.client.ExecInspect(ctx, e.ID, client.ExecInspectOptions{})
	return err
}
