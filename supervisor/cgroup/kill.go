package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// killRounds bounds how often processes that were forked meanwhile are looked for.
const killRounds = 50

// Kill sends SIGKILL to every process of the container. Frozen ones die too.
func (g *Group) Kill(ctx context.Context) error {
	if g.host.unified {
		err := writeFile(filepath.Join(g.controller(""), "cgroup.kill"), "1") // Linux 5.14
		if err == nil {
			return nil
		}
	}
	return g.killEach(ctx)
}

// killEach goes through the list until it is empty. On v1 a frozen process dies only when it is thawed.
func (g *Group) killEach(ctx context.Context) error {
	dir := g.controller("pids")
	if !g.host.unified {
		if found, err := processes(dir); err != nil || len(found) == 0 {
			dir = g.controller("freezer")
		}
	}
	for range killRounds {
		pids, err := processes(dir)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			// A number could have been given away since it was read only if that process had ended and been
			// collected: the list is read anew each time, so the window is this loop.
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return err
			}
		}
		if err := g.Thaw(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond): // dying takes a moment, and nothing tells when a v1 list has changed
		}
	}
	return nil
}
