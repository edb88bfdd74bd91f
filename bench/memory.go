package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
)

// settle is how long an engine is left alone before its memory is read.
const settle = 3 * time.Second

// memoryRows ask what engines hold. All of an engine's processes count: gantryd and its supervisor; dockerd,
// containerd, and the shims. The containers' own processes do not.
func memoryRows(n func(full, quick int) int) []row {
	return []row{
		{
			name: "memory-idle-rss", what: "idle memory of all engine processes, RSS", unit: "MB", goal: 3, rounds: n(2, 1),
			once: func(ctx context.Context, s *side) (float64, error) { return idleMemory(ctx, s, "Rss:") },
		},
		{
			name: "memory-idle-pss", what: "idle memory of all engine processes, PSS", unit: "MB", goal: 3, rounds: n(2, 1),
			once: func(ctx context.Context, s *side) (float64, error) { return idleMemory(ctx, s, "Pss:") },
		},
		{
			name: "memory-container", what: fmt.Sprintf("memory per idle container, PSS, over %d", n(50, 20)), unit: "kB", limit: 300, rounds: 1,
			once: func(ctx context.Context, s *side) (float64, error) { return containerMemory(ctx, s, n(50, 20)) },
		},
	}
}

// idleMemory is that of a fresh engine that has run one container.
func idleMemory(ctx context.Context, s *side, field string) (float64, error) {
	fresh, err := newSide(s.name)
	if err != nil {
		return 0, err
	}
	defer fresh.close()
	if err := life(ctx, fresh, container.HostConfig{}); err != nil {
		return 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	kb, err := memory(fresh, field)
	return kb * 1024 / 1e6, err
}

// containerMemory is by how much n idle containers make an engine grow, per container.
func containerMemory(ctx context.Context, s *side, n int) (float64, error) {
	fresh, err := newSide(s.name)
	if err != nil {
		return 0, err
	}
	defer fresh.close()
	if err := many(n, func(int) error { return life(ctx, fresh, container.HostConfig{}) }); err != nil {
		return 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	before, err := memory(fresh, "Pss:")
	if err != nil {
		return 0, err
	}
	err = many(n, func(int) error {
		_, err := fresh.run(ctx, container.Config{Cmd: []string{"sleep", "100000"}}, container.HostConfig{})
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	after, err := memory(fresh, "Pss:")
	return max(0, (after-before)/float64(n)), err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// memory sums a field of /proc/PID/smaps_rollup over the engine's processes, in kB.
func memory(s *side, field string) (float64, error) {
	var sum float64
	for _, p := range s.engine.Processes() {
		if !p.Ours {
			continue
		}
		kb, err := rollup(p.Pid, field)
		if os.IsNotExist(err) {
			continue // ended meanwhile
		}
		if err != nil {
			return 0, err
		}
		sum += kb
	}
	return sum, nil
}

func rollup(pid int, field string) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if fields := strings.Fields(sc.Text()); len(fields) == 3 && fields[0] == field {
			return strconv.ParseFloat(fields[1], 64)
		}
	}
	return 0, nil
}
