package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"gantry/config"

	"golang.org/x/sys/unix"
)

// dataRoot is the claim on the data root, the exec root and the pidfile.
type dataRoot struct {
	lock    *os.File
	pidfile string
}

// openDataRoot makes the directories, refuses a second daemon, and empties tmp/.
func openDataRoot(_ context.Context, cfg *config.Config) (_ *dataRoot, err error) {
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{{cfg.DataRoot, 0o710}, {cfg.ExecRoot, 0o700}} {
		if err := os.MkdirAll(dir.path, dir.mode); err != nil {
			return nil, err
		}
	}
	d := &dataRoot{}
	if d.lock, err = lockFile(filepath.Join(cfg.DataRoot, "gantry.lock")); err != nil {
		return nil, fmt.Errorf("data root %s is in use by another daemon: %w", cfg.DataRoot, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.lock.Close())
		}
	}()
	if err := writePidfile(cfg.Pidfile); err != nil {
		return nil, err
	}
	d.pidfile = cfg.Pidfile
	return d, cleanTmp(cfg)
}

// Close gives the claim back.
func (d *dataRoot) Close(context.Context) error {
	var err error
	if d.pidfile != "" {
		err = os.Remove(d.pidfile)
	}
	return errors.Join(err, d.lock.Close())
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// writePidfile refuses a file that names a live process.
func writePidfile(path string) error {
	if path == "" {
		return nil
	}
	if data, err := os.ReadFile(path); err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err == nil && pid != os.Getpid() && pid > 0 && syscall.Kill(pid, 0) == nil {
			return fmt.Errorf("process with PID %d is still running: ensure that it is not a daemon of this pidfile, or remove %s", pid, path)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// cleanTmp empties the directory for temporary files and makes it everybody's in this process.
func cleanTmp(cfg *config.Config) error {
	dir := cfg.TmpDir
	if dir == "" {
		dir = filepath.Join(cfg.DataRoot, "tmp")
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", dir)
}
