package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"

	"gantry/daemon"
)

// migrate is gantry migrate.
func migrate(ctx context.Context, args []string, io streams) error {
	flags := flag.NewFlagSet("gantry migrate", flag.ContinueOnError)
	flags.SetOutput(io.err)
	from := flags.String("from", "", "data `DIR`ectory of Docker, mostly /var/lib/docker (required)")
	to := flags.String("to", "", "empty `DIR`ectory that everything is moved to first (default: it stays where it is)")
	dry := flags.Bool("dry-run", false, "only list what would be carried over, and what would not")
	byCopy := flags.Bool("copy", false, "with --to: copy, and leave Docker's directory as it is")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return errUsage
	}
	if *from == "" || flags.NArg() > 0 || *byCopy && *to == "" {
		fmt.Fprintln(io.err, "gantry migrate needs --from DIR; --copy needs --to DIR; nothing else is expected.")
		flags.Usage()
		return errUsage
	}
	source, err := filepath.Abs(*from)
	if err != nil {
		return err
	}
	target := source
	if *to != "" {
		if target, err = filepath.Abs(*to); err != nil {
			return err
		}
	}
	log := slog.New(slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return daemon.Migrate(ctx, daemon.MigrateOptions{From: source, To: target, Copy: *byCopy, DryRun: *dry, Out: io.out, Log: log})
}
