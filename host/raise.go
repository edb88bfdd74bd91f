package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// rootKeys is how many keys root may have: each container's session keyring is one. dockerd sets the same.
	rootKeys = 1000000
	// bytesPerKey is the kernel's own ratio of the two quotas.
	bytesPerKey = 25
	// threadShare is the part of the system's threads that the Go runtime may use, in percent.
	threadShare = 90
)

// Raise lifts the limits that many containers would meet, and sets this process's score with the OOM killer. Each that
// cannot be raised is one of the joined errors: a warning, no reason to stop.
func (h *Host) Raise(_ context.Context, oomScore int) error {
	return errors.Join(h.raiseKeys(), h.raiseThreads(), raiseFiles(), h.setOOMScore(oomScore))
}

func (h *Host) raiseKeys() error {
	keys, err := h.number("proc/sys/kernel/keys/root_maxkeys")
	if err != nil || keys >= rootKeys {
		return err
	}
	return errors.Join(h.set("proc/sys/kernel/keys/root_maxkeys", rootKeys), h.set("proc/sys/kernel/keys/root_maxbytes", rootKeys*bytesPerKey))
}

// raiseThreads lets the Go runtime use more than its default of 10,000 threads.
func (h *Host) raiseThreads() error {
	threads, err := h.number("proc/sys/kernel/threads-max")
	if err != nil {
		return err
	}
	debug.SetMaxThreads(threads / 100 * threadShare)
	return nil
}

// raiseFiles brings the soft limit of descriptors up to the hard one. Processes that Go starts get the original limit.
func raiseFiles() error {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return fmt.Errorf("limit of descriptors: %w", err)
	}
	if r.Cur >= r.Max {
		return nil
	}
	r.Cur = r.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return fmt.Errorf("limit of descriptors: %w", err)
	}
	return nil
}

func (h *Host) setOOMScore(score int) error {
	const name = "proc/self/oom_score_adj"
	if now, err := h.number(name); score == 0 || err == nil && now == score {
		return nil
	}
	return h.set(name, score)
}

func (h *Host) number(name string) (int, error) {
	data, err := os.ReadFile(h.path(name))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(data)))
	if err != nil {
		return 0, fmt.Errorf("/%s: %w", name, err)
	}
	return n, nil
}

func (h *Host) set(name string, n int) error {
	return os.WriteFile(h.path(name), []byte(strconv.Itoa(n)), 0)
}
