package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// freezeWait is how long the kernel is given to stop all processes.
const freezeWait = 10 * time.Second

// Freeze stops all processes and returns when they have. Errors: not exist, where there is no freezer.
func (g *Group) Freeze(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, freezeWait)
	defer cancel()
	err := g.setFrozen(ctx, true)
	if err != nil && ctx.Err() != nil {
		return errors.Join(err, g.setFrozen(context.WithoutCancel(ctx), false)) // half frozen is no state to leave it in
	}
	return err
}

// Thaw lets them go on.
func (g *Group) Thaw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, freezeWait)
	defer cancel()
	return g.setFrozen(ctx, false)
}

func (g *Group) setFrozen(ctx context.Context, frozen bool) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		// On v1 a process that was forked meanwhile needs the state to be written again.
		if err := g.writeFreezer(frozen); err != nil {
			return err
		}
		is, err := g.Frozen()
		if err != nil || is == frozen {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("freezer of cgroup %s: %w", g.path, ctx.Err())
		case <-time.After(wait):
		}
	}
}

func (g *Group) writeFreezer(frozen bool) error {
	if g.host.unified {
		return writeFile(filepath.Join(g.controller(""), "cgroup.freeze"), map[bool]string{true: "1", false: "0"}[frozen])
	}
	return writeFile(filepath.Join(g.controller("freezer"), "freezer.state"), map[bool]string{true: "FROZEN", false: "THAWED"}[frozen])
}

// Frozen reports whether all processes are stopped.
func (g *Group) Frozen() (bool, error) {
	if g.host.unified {
		values, err := readValues(filepath.Join(g.controller(""), "cgroup.events"))
		return values["frozen"] == 1, err
	}
	data, err := os.ReadFile(filepath.Join(g.controller("freezer"), "freezer.state"))
	return strings.TrimSpace(string(data)) == "FROZEN", err
}
