// Command gantry is the engine's own tool for operators, beside the docker command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"

	"gantry/internal/version"

	"golang.org/x/sys/unix"
)

// errUsage says that the arguments make no sense; the help has been printed.
var errUsage = errors.New("usage")

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// command is one line of the table: gantry NAME ARGUMENTS.
type command struct {
	name string
	args string // in the help
	help string
	run  func(ctx context.Context, args []string, io streams) error
}

// commands is all there is, in the order of the help.
func commands() []command {
	return []command{
		{"version", "", "Print the version.", printVersion},
		{"migrate", "[OPTIONS]", "Take over the data root of a Docker that is not running.", migrate},
		{"help", "", "Print this help.", printHelp},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "gantry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, io streams) error {
	if len(args) == 0 {
		return errors.Join(errUsage, printHelp(ctx, nil, streams{out: io.err}))
	}
	name := args[0]
	switch name {
	case "-h", "--help":
		name = "help"
	case "-v", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(ctx, args[1:], io)
		}
	}
	return fmt.Errorf("there is no command %q: see gantry help", name)
}

func printVersion(_ context.Context, _ []string, io streams) error {
	_, err := fmt.Fprintf(io.out, "gantry version %s, build %s, %s %s/%s\n", version.Number, version.Read().Short(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

func printHelp(_ context.Context, _ []string, io streams) error {
	if _, err := fmt.Fprint(io.out, "Usage: gantry COMMAND\n\nLook after the container engine on this host. Containers are managed with the docker command.\n\nCommands:\n"); err != nil {
		return err
	}
	for _, c := range commands() {
		if _, err := fmt.Fprintf(io.out, "  %-24s %s\n", c.name+" "+c.args, c.help); err != nil {
			return err
		}
	}
	return nil
}
