package main

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/container"
)

// daemonRows ask how long a daemon takes to its first answer.
func daemonRows(n func(full, quick int) int) []row {
	return []row{
		{
			name: "first-start", what: "first start on an empty data root to the first API answer", unit: "ms", goal: 8, rounds: n(6, 3),
			once: func(_ context.Context, s *side) (float64, error) {
				fresh, err := newSide(s.name)
				if err != nil {
					return 0, err
				}
				defer fresh.close()
				return milliseconds(fresh.engine.Took()), nil
			},
		},
		restartRow(n(200, 20), n(3, 1)),
	}
}

// restartRow asks for the restart of a daemon under running containers.
func restartRow(count, rounds int) row {
	engines := map[*side]*side{}
	return row{
		name: "restart", what: fmt.Sprintf("restart with %d running containers (live-restore) to the first API answer", count), unit: "ms", goal: 5, rounds: rounds,
		prepare: func(ctx context.Context, s *side) (func(), error) {
			fresh, err := newSide(s.name, "--live-restore")
			if err != nil {
				return nil, err
			}
			engines[s] = fresh
			return fresh.close, many(count, func(int) error {
				_, err := fresh.run(ctx, container.Config{Cmd: []string{"sleep", "100000"}}, container.HostConfig{})
				return err
			})
		},
		once: func(_ context.Context, s *side) (float64, error) {
			e := engines[s].engine
			if err := e.Stop(); err != nil {
				return 0, err
			}
			if err := e.Launch(); err != nil {
				return 0, err
			}
			return milliseconds(e.Took()), nil
		},
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
