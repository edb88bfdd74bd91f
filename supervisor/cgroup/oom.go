package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OOM watches for the kernel's OOM killer in one container.
type OOM interface {
	// Kills is how many processes it has killed. Errors: not exist, when the cgroup is gone.
	Kills() (uint64, error)
	// Wait returns when there may be a new kill. Errors: closed; not exist, when the cgroup is gone.
	Wait() error
	// Close ends a Wait.
	Close() error
}

// WatchOOM begins to watch.
func (g *Group) WatchOOM() (OOM, error) {
	if g.host.unified {
		return watchV2(g.controller(""))
	}
	return watchV1(g.controller("memory"))
}

// oomV1 is an eventfd that the kernel signals (memory.oom_control, cgroups v1 memory controller).
type oomV1 struct {
	dir   string
	event *os.File
}

func watchV1(dir string) (_ *oomV1, err error) {
	control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, control.Close()) }()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	event := os.NewFile(uintptr(fd), "oom")
	line := fmt.Sprintf("%d %d", fd, control.Fd())
	if err := writeFile(filepath.Join(dir, "cgroup.event_control"), line); err != nil {
		return nil, errors.Join(err, event.Close())
	}
	return &oomV1{dir: dir, event: event}, nil
}

func (o *oomV1) Kills() (uint64, error) {
	values, err := readValues(filepath.Join(o.dir, "memory.oom_control"))
	return values["oom_kill"], err // Linux 4.13
}

func (o *oomV1) Wait() error {
	var counter [8]byte
	if _, err := o.event.Read(counter[:]); err != nil {
		return err
	}
	_, err := os.Stat(o.dir) // the removal of the cgroup signals too
	return err
}

func (o *oomV1) Close() error { return o.event.Close() }

// oomV2 is an inotify watch of memory.events.
type oomV2 struct {
	path    string
	changes *os.File
}

func watchV2(dir string) (*oomV2, error) {
	path := filepath.Join(dir, "memory.events")
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	changes := os.NewFile(uintptr(fd), "oom")
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY|unix.IN_DELETE_SELF); err != nil {
		return nil, errors.Join(&os.PathError{Op: "watch", Path: path, Err: err}, changes.Close())
	}
	return &oomV2{path: path, changes: changes}, nil
}

func (o *oomV2) Kills() (uint64, error) {
	values, err := readValues(o.path)
	return values["oom_kill"], err
}

func (o *oomV2) Wait() error {
	var buf [unix.SizeofInotifyEvent + unix.NAME_MAX + 1]byte
	if _, err := o.changes.Read(buf[:]); err != nil {
		return err
	}
	_, err := os.Stat(o.path)
	return err
}

func (o *oomV2) Close() error { return o.changes.Close() }

// WaitKill waits until the number of kills is above seen, and returns it.
func WaitKill(ctx context.Context, o OOM, seen uint64) (uint64, error) {
	for {
		now, err := o.Kills()
		if err != nil || now > seen {
			return now, err
		}
		if err := o.Wait(); err != nil {
			return seen, err
		}
		if err := ctx.Err(); err != nil {
			return seen, err
		}
	}
}

// readValues reads a file of "name number" lines. Others are passed over.
func readValues(path string) (map[string]uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, ignoreNoDevice(err)
	}
	values := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			values[name] = n
		}
	}
	return values, nil
}

// ignoreNoDevice makes the error of a cgroup that was removed while it was read one class.
func ignoreNoDevice(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return os.ErrNotExist
	}
	return err
}
