// Command gantry-supervisor is the parent of every container: see package supervisor. gantryd starts it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"

	"gantry/logdriver/drivers"
	"gantry/supervisor"

	"golang.org/x/sys/unix"
)

const (
	// gcPercent trades a little work for memory: the heap is a few MB, and mostly constant.
	gcPercent = 50
	// memoryLimit makes the collector work harder before buffers of slow clients add up, in bytes.
	memoryLimit = 256 << 20
)

// The main goroutine stays on the main thread, so that no other goroutine is ever locked to it: a
// thread that has got a mount namespace of its own must end, and the main thread cannot.
func init() { runtime.LockOSThread() }

func main() {
	root := flag.String("root", "/run/gantry", "exec root: sockets, bundles, state of runtimes")
	peer := flag.Int("peer", -1, "descriptor of a connection to gantryd")
	legacy := flag.Int("resume", -1, "descriptor of what the program left that this one replaces")
	debugLog := flag.Bool("debug", false, "log more")
	flag.Parse()
	level := slog.LevelInfo
	if *debugLog {
		level = slog.LevelDebug
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("process", "supervisor"))
	if err := run(*root, *peer, *legacy); err != nil {
		fmt.Fprintln(os.Stderr, "gantry-supervisor:", err)
		os.Exit(1)
	}
}

func run(root string, peer, legacy int) error {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	standFast()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	cfg := supervisor.Config{Root: root, OpenLog: drivers.Open, Binary: binary}
	if peer >= 0 {
		unix.CloseOnExec(peer)
		cfg.Peer = os.NewFile(uintptr(peer), "gantryd")
	}
	if legacy >= 0 {
		unix.CloseOnExec(legacy)
		cfg.Legacy = os.NewFile(uintptr(legacy), "legacy")
	}
	s, err := supervisor.Open(ctx, cfg)
	if err != nil {
		return err
	}
	upgrade := make(chan os.Signal, 1)
	signal.Notify(upgrade, unix.SIGUSR2)
	go func() {
		for range upgrade {
			if err := s.Upgrade(ctx); err != nil {
				slog.Error("supervisor is not upgraded", "error", err)
			}
		}
	}()
	return s.Run(ctx)
}

// standFast makes signals of a terminal and broken pipes harmless. They are caught, not ignored:
// containers would inherit that.
func standFast() {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE)
	go func() {
		for range caught {
		}
	}()
}
