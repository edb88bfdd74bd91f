// Command nsinit is process 1 of the namespaces that a test engine lives in.
//
// It is started with new mount, network, process, IPC and UTS namespaces, makes them usable, says "ready" on
// stdout, and then only reaps orphans. When its standard input ends, because the test is done or dead, it exits, and the
// kernel kills whatever still lives in its process namespace: no test leaves an engine or a container behind.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func main() {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "nsinit:", err)
		os.Exit(1)
	}
	go reap()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// prepare gives the namespaces their own /proc, /sys and /run, and a loopback interface.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := mountSys(); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}

// mountSys replaces /sys, which shows the network devices of the namespace it was mounted in, and carries
// the host's cgroup mounts over.
func mountSys() error {
	const cgroups = "/sys/fs/cgroup"
	fd, err := unix.OpenTree(unix.AT_FDCWD, cgroups, unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open %s: %w", cgroups, err)
	}
	defer unix.Close(fd)
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, cgroups, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s: %w", cgroups, err)
	}
	return nil
}

// reap collects orphans; process 1 is everybody's last parent.
func reap() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	for range died {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
		}
	}
}
