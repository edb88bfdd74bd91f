// Command gantryd is the container engine's control plane: see package daemon. Called as dockerd, it takes dockerd's place.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"gantry/config"
	"gantry/daemon"
	"gantry/internal/logfmt"
	"gantry/internal/logfmt/libraries"
	"gantry/internal/version"

	"golang.org/x/sys/unix"
)

// The main goroutine stays on the main thread, so that no other goroutine is ever locked to it: a
// thread that has got a namespace of its own must end, and the main thread cannot. It is also the one that
// /proc/PID/ns shows.
func init() { runtime.LockOSThread() }

func main() { os.Exit(run(filepath.Base(os.Args[0]), os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit status.
func run(program string, args []string, stdout, stderr io.Writer) int {
	if done, err := generate(program, args, stdout); done {
		return report(err, stderr)
	}
	cfg, err := config.Load(program, args, environment())
	switch {
	case err != nil:
		return report(err, stderr)
	case cfg.Mode.Help:
		return report(cfg.WriteHelp(stdout), stderr)
	case cfg.Mode.Version:
		_, err := fmt.Fprintf(stdout, "%s version %s, build %s\n", program, version.Number, version.Read().Short())
		return report(err, stderr)
	case cfg.Mode.Validate:
		fmt.Fprintln(stderr, "configuration OK") // to stderr, as dockerd does
		return 0
	}
	unix.Umask(0o022) // whatever root's is: modes of layers and directories must not depend on it
	log := slog.New(logfmt.New(stderr, cfg.Log.Format, logfmt.ParseLevel(cfg.Log.Threshold())))
	slog.SetDefault(log)
	libraries.Redirect(log)
	if err := prepare(cfg, log); err != nil {
		return report(err, stderr)
	}
	if err := daemon.Run(context.Background(), cfg); err != nil {
		return report(err, stderr)
	}
	return 0
}

// report prints an error and returns the exit status.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, err)
	return 1
}

// generate writes the shell completion or the manual page, for the installation.
func generate(program string, args []string, w io.Writer) (done bool, err error) {
	switch {
	case len(args) == 2 && args[0] == "completion":
		return true, config.Default(program).WriteCompletion(w, args[1])
	case len(args) == 1 && args[0] == "man":
		return true, config.Default(program).WriteMan(w)
	}
	return false, nil
}

// environment returns the lookup in a copy of the environment.
func environment() func(string) string {
	all := map[string]string{}
	for _, entry := range os.Environ() {
		key, value, _ := strings.Cut(entry, "=")
		all[key] = value
	}
	return func(name string) string { return all[name] }
}

// forget removes systemd's messages to this process from the environment. An OCI runtime that inherits NOTIFY_SOCKET would
// hand it to the container.
func forget() error {
	var errs []error
	for _, name := range []string{"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC"} {
		errs = append(errs, os.Unsetenv(name))
	}
	return errors.Join(errs...)
}

// prepare applies what concerns the process itself, and says what the operator should know.
func prepare(cfg *config.Config, log *slog.Logger) error {
	for _, text := range cfg.Warnings {
		log.Warn(text)
	}
	for _, text := range cfg.Notes {
		log.Debug(text)
	}
	overridden, err := cfg.Proxies.Export(os.Getenv, os.Setenv)
	for _, o := range overridden {
		log.Warn("overriding existing proxy variable with value from configuration", "name", o.Name, "old-value", o.Old, "new-value", o.New)
	}
	if err != nil {
		return fmt.Errorf("set proxy variables: %w", err)
	}
	return forget()
}
