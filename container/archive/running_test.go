package archive_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gantry/container/archive"
	"gantry/container/record"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"
)

// containerEnv makes this binary the init process of a container.
const containerEnv = "GANTRY_ARCHIVE_CONTAINER"

func TestMain(m *testing.M) {
	root := os.Getenv(containerEnv)
	if root == "" {
		os.Exit(m.Run())
	}
	err := contain(root)
	_ = json.NewEncoder(os.Stdout).Encode(fmt.Sprint(err))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
}

// contain moves this process, which has a mount namespace of its own, into root, with a mount of its own making there.
func contain(root string) error {
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return unix.Chdir(root) },
		func() error { return unix.PivotRoot(".", ".") },
		func() error { return unix.Unmount(".", unix.MNT_DETACH) },
		func() error { return unix.Mount("own", "/own", "tmpfs", 0, "") },
		func() error { return os.WriteFile("/own/hidden", nil, 0o644) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// runs starts the container.
func (m *machine) runs(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), containerEnv+"="+m.root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	var said string
	if err := json.NewDecoder(stdout).Decode(&said); err != nil || said != "<nil>" {
		t.Fatal(said, err)
	}
	m.record.Status, m.record.Pid = record.Running, cmd.Process.Pid
}

func TestARunningContainerIsSeenWithoutItsOwnMounts(t *testing.T) {
	m := start(t, map[string]string{"own/": "", "etc/f": "live", "data/": ""})
	fill(t, m.volume, map[string]string{"v": "1"})
	m.record.Mounts["/data"] = &record.MountPoint{Type: mount.TypeVolume, Name: "v", Destination: "/data", RW: true}
	m.runs(t)
	for path, want := range map[string][]string{"/etc/f": {"f = live"}, "/own": {"own/"}, "/data": {"data/", "data/v = 1"}} {
		r, _, err := m.CopyFrom(t.Context(), "web", path)
		if err != nil {
			t.Fatal(path, err)
		}
		if got := listing(t, r); !slices.Equal(got, want) {
			t.Errorf("%s: got %q", path, got)
		}
	}
	if err := m.CopyTo(t.Context(), "web", "/etc", bytes.NewReader(pack(t, file("new", "1"))), archive.CopyToOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(m.root, "etc/new")); err != nil {
		t.Error(err)
	}
}

func TestAPidOfTheHostIsNoContainer(t *testing.T) {
	m := start(t, nil)
	m.record.Status, m.record.Pid = record.Running, os.Getpid()
	if _, err := m.Stat(t.Context(), "web", "/"); err == nil || !strings.Contains(err.Error(), "is not in a container") {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsLeftMounted(t *testing.T) {
	m := start(t, map[string]string{"data/": ""})
	m.record.Mounts["/data"] = &record.MountPoint{Type: mount.TypeVolume, Name: "v", Destination: "/data", RW: true}
	count := func() (mounts, descriptors int) {
		data, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(data, []byte("\n")), len(fds)
	}
	once := func() {
		r, _, err := m.CopyFrom(t.Context(), "web", "/")
		if err != nil {
			t.Fatal(err)
		}
		listing(t, r)
		if err := m.CopyTo(t.Context(), "web", "/data", bytes.NewReader(pack(t, file("f", "1"))), archive.CopyToOptions{}); err != nil {
			t.Fatal(err)
		}
		_, _ = m.Stat(t.Context(), "web", "/nope")
	}
	once() // the first opens what the process keeps
	mounts, descriptors := count()
	for range 5 {
		once()
	}
	if a, b := count(); a != mounts || b != descriptors {
		t.Errorf("mounts %d -> %d, descriptors %d -> %d", mounts, a, descriptors, b)
	}
}

func BenchmarkStat(b *testing.B) {
	m := &machine{root: b.TempDir(), volume: b.TempDir(), record: &record.Container{ID: "x", Config: &container.Config{}, HostConfig: &container.HostConfig{}}}
	m.record.Mounts = map[string]*record.MountPoint{"/data": {Type: mount.TypeVolume, Name: "v", Destination: "/data", RW: true}}
	s := archive.New(archive.Config{Containers: m, Layers: m, Volumes: m, Dir: b.TempDir()})
	for b.Loop() {
		if _, err := s.Stat(b.Context(), "web", "/data"); err != nil {
			b.Fatal(err)
		}
	}
}
