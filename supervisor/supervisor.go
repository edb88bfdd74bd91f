// Package supervisor is the data plane: the parent of every container.
//
// It holds what must not die with gantryd: stdio and logs of containers, and how they
// ended. It does what gantryd says over its socket (package
// task/protocol) and goes on without it. A task is a container that runs; an exec
// is a further process in it; both are followed to their end. Wires are the stdio
// of one process. A session is one connection of gantryd.
//
// Nothing is lost when either plane is killed: gantryd holds copies of all
// descriptors and hands them to the next supervisor, which reads the records (record) that the
// last one left. An exit is on disk before anybody is told.
//
// The package knows no images, no networks, no HTTP, and no container that does not run.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"gantry/logdriver"
	"gantry/supervisor/cgroup"
	"gantry/supervisor/enter"
	"gantry/supervisor/launch"
	"gantry/supervisor/process"
	"gantry/supervisor/stdio"
	"gantry/task/protocol"

	"golang.org/x/sys/unix"
)

// Config says where things are.
type Config struct {
	Root    string // exec root
	OpenLog func(name string, info logdriver.Info) (logdriver.Writer, error)
	Peer    *os.File // a connection of the gantryd that started this process; nil for none
	Binary  string   // what an upgrade executes; "" forbids it
	Legacy  *os.File // what the program left that was upgraded to this one; nil for none
}

// Supervisor is the data plane of one exec root.
type Supervisor struct {
	*parts
	lock   *os.File
	server *server
}

// parts are what all that works here shares.
type parts struct {
	cfg       Config
	log       *slog.Logger
	store     *store
	reaper    *process.Reaper
	launcher  *launch.Launcher
	cgroups   *cgroup.Host
	door      *enter.Door
	resolvers resolvers
	buffers   stdio.Buffers
	gate      gate
	book      *book
	teller    *teller
	lives     *lives
}

// Open takes the exec root and listens. Errors: unavailable, when another supervisor has it.
func Open(ctx context.Context, cfg Config) (_ *Supervisor, err error) {
	p := &parts{cfg: cfg, log: slog.Default(), reaper: process.NewReaper(), teller: &teller{}}
	p.book, p.lives = newBook(p), &lives{p}
	starter := &starter{p}
	s := &Supervisor{parts: p, server: &server{
		parts: p, starter: starter, control: &control{p}, restorer: newRestorer(p, starter), ended: make(chan struct{}),
	}}
	s.server.upgrade = s.Upgrade
	if err := os.MkdirAll(cfg.Root, 0o711); err != nil {
		return nil, err
	}
	if err := s.takeRoot(); err != nil {
		return nil, err
	}
	if p.store, err = openStore(filepath.Join(cfg.Root, "tasks")); err != nil {
		return nil, err
	}
	if err := mountBundles(filepath.Join(cfg.Root, protocol.BundlesName)); err != nil {
		return nil, err
	}
	if p.cgroups, err = cgroup.Find(); err != nil {
		return nil, err
	}
	if p.door, err = enter.Open(p.cgroups); err != nil {
		return nil, err
	}
	if p.launcher, err = launch.New(p.reaper); err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become child subreaper: %w", err)
	}
	return s, nil
}

// Run serves until a Shutdown, or until ctx ends. Containers are not touched either way.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.reaper.Run(ctx)
	if s.cfg.Legacy != nil {
		s.server.restorer.ready(ctx)
	}
	if s.cfg.Peer != nil {
		conn, err := protocol.FileConn(s.cfg.Peer)
		if err != nil {
			return err
		}
		go s.server.serve(ctx, conn)
	}
	go s.server.accept(ctx)
	select {
	case <-ctx.Done():
	case <-s.server.ended:
	}
	return errors.Join(s.server.listener.Close(), s.resolvers.close(), s.leaveRoot())
}
