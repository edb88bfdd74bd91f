package testkit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Namespaces are the mount, network, process, IPC and UTS namespaces of an engine. They outlive the engine's
// processes, so that a daemon can die and come back, and end with Close or with the test process.
type Namespaces struct {
	init  *exec.Cmd
	stdin io.Closer // its end is the end of the namespaces
	pidfd int
}

// newNamespaces starts process 1 of a new set.
func newNamespaces(nsinit string) (*Namespaces, error) {
	cmd := exec.Command(nsinit)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start namespaces: %w", err)
	}
	n := &Namespaces{init: cmd, stdin: stdin, pidfd: -1}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); strings.TrimSpace(line) != "ready" {
		return nil, errors.Join(fmt.Errorf("start namespaces: %w", err), n.Close())
	}
	if n.pidfd, err = unix.PidfdOpen(cmd.Process.Pid, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("open namespaces: %w", err), n.Close())
	}
	return n, nil
}

// Close kills every process in the namespaces and waits until they are gone.
func (n *Namespaces) Close() error {
	_ = n.stdin.Close()
	err := n.init.Wait()
	if n.pidfd >= 0 {
		_ = unix.Close(n.pidfd)
		n.pidfd = -1
	}
	return err
}

// Pid is process 1 of the namespaces, as the test sees it.
func (n *Namespaces) Pid() int { return n.init.Process.Pid }

// Do runs f on a thread that is in the mount and network namespaces, and whose children are in all of them. f must not
// hand the namespaces on to another goroutine: those run on other threads.
func (n *Namespaces) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- n.enterAnd(f)
	}()
	return <-done
}

func (n *Namespaces) enterAnd(f func() error) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns(2): a mount namespace needs an unshared root
		return fmt.Errorf("unshare: %w", err)
	}
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	if err := unix.Setns(n.pidfd, all); err != nil {
		return fmt.Errorf("enter namespaces: %w", err)
	}
	return f()
}

// Start starts a command in the namespaces.
func (n *Namespaces) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Run runs a command in the namespaces and returns what it wrote.
func (n *Namespaces) Run(name string, args ...string) (string, error) {
	var out strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// Dial connects from inside the network namespace. The address must be an IP literal: a resolver would run on another
// thread.
func (n *Namespaces) Dial(network, address string) (conn net.Conn, err error) {
	err = n.Do(func() error {
		conn, err = net.DialTimeout(network, address, 5*time.Second)
		return err
	})
	return conn, err
}
