// Command gantry-init is the first process of a container that was started with --init: it starts the command as
// its child, passes signals on to it, reaps what is orphaned, and ends as the command ends.
//
//	gantry-init -- COMMAND [ARG...]
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes of a command that could not be started, as shells have them.
const (
	notFound      = 127
	notExecutable = 126
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: gantry-init -- COMMAND [ARG...]")
		os.Exit(notFound)
	}
	signals := make(chan os.Signal, 128)
	signal.Notify(signals)
	child, err := start(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "exec %s: %v\n", args[0], err)
		if errors.Is(err, fs.ErrPermission) {
			os.Exit(notExecutable)
		}
		os.Exit(notFound)
	}
	for sig := range signals {
		switch sig {
		case syscall.SIGCHLD:
			if code, ended := reap(child); ended {
				os.Exit(code)
			}
		case syscall.SIGURG: // the Go runtime's own, for preemption
		default:
			_ = unix.Kill(child, sig.(syscall.Signal)) // a child that has just ended is reaped next
		}
	}
}

// start runs the command in a process group of its own, in the foreground of the terminal if there is one.
func start(args []string) (pid int, err error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return 0, err
	}
	attr := &syscall.SysProcAttr{Setpgid: true}
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil {
		attr.Foreground, attr.Ctty = true, 0
	}
	return syscall.ForkExec(path, args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: attr})
}

// reap collects every ended process and reports the command's own end.
func reap(child int) (code int, ended bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return code, ended
		}
		if pid == child {
			ended = true
			code = status.ExitStatus()
			if status.Signaled() {
				code = 128 + int(status.Signal())
			}
		}
	}
}
