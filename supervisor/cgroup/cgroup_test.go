package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// unified makes a v2 hierarchy of plain files with one container in it.
func unified(t *testing.T) (*Group, string) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "docker/c1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "cgroup.controllers"), "memory pids")
	put(t, filepath.Join(dir, "memory.events"), "low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\n")
	put(t, filepath.Join(dir, "cgroup.freeze"), "0")
	put(t, filepath.Join(dir, "cgroup.kill"), "")
	put(t, filepath.Join(dir, "cgroup.events"), "populated 1\nfrozen 1\n")
	h, err := At(root)
	if err != nil {
		t.Fatal(err)
	}
	g, err := h.Group("/docker/c1")
	if err != nil {
		t.Fatal(err)
	}
	return g, dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestUnifiedOOM(t *testing.T) {
	g, dir := unified(t)
	o, err := g.WatchOOM()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := o.Kills(); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	got := make(chan uint64)
	go func() {
		n, err := WaitKill(context.Background(), o, 0)
		if err != nil {
			t.Error(err)
		}
		got <- n
	}()
	put(t, filepath.Join(dir, "memory.events"), "oom 2\noom_kill 2\n")
	if n := <-got; n != 2 {
		t.Errorf("%d kills", n)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := WaitKill(context.Background(), o, 2); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestUnifiedFreezeAndKill(t *testing.T) {
	g, dir := unified(t)
	if err := g.Freeze(context.Background()); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "cgroup.freeze")); err != nil || string(data) != "1" {
		t.Errorf("%q %v", data, err)
	}
	put(t, filepath.Join(dir, "cgroup.events"), "populated 1\nfrozen 0\n")
	if err := g.Thaw(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := g.Kill(context.Background()); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "cgroup.kill")); err != nil || string(data) != "1" {
		t.Errorf("%q %v", data, err)
	}
}

func TestFreezerThatNeverAnswersIsUndone(t *testing.T) {
	g, dir := unified(t)
	put(t, filepath.Join(dir, "cgroup.events"), "frozen 0\n")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Freeze(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("freeze: %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "cgroup.freeze")); err != nil || string(data) != "0" {
		t.Errorf("left %q %v", data, err)
	}
}

func TestRootIsNobodysCgroup(t *testing.T) {
	h := &Host{root: t.TempDir(), unified: true}
	for _, path := range []string{"", "/", "..", "/a/..", "/../.."} {
		if g, err := h.Group(path); err == nil {
			t.Errorf("%q is %s", path, g.Path())
		}
	}
}

func TestRemovedCgroupIsNotThere(t *testing.T) {
	g, _ := unified(t)
	gone, err := g.host.Group("/docker/c2")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Remove(); err != nil {
		t.Errorf("remove: %v", err)
	}
	if _, err := gone.WatchOOM(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("watch: %v", err)
	}
}

func TestParsePath(t *testing.T) {
	for name, c := range map[string]struct {
		list    string
		unified bool
		want    string
	}{
		"v2":                {"0::/docker/x\n", true, "/docker/x"},
		"v1":                {"9:name=systemd:/s\n4:memory:/docker/x\n0::/\n", false, "/docker/x"},
		"v1 without memory": {"9:cpu,cpuacct:/docker/y\n0::/\n", false, "/docker/y"},
		"colons":            {"4:memory:/a:b\n", false, "/a:b"},
		"nothing":           {"\n", false, ""},
	} {
		got, err := parsePath(c.list, c.unified)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("4:memory:/x\n0::/y", true)
	f.Fuzz(func(t *testing.T, list string, unified bool) { _, _ = parsePath(list, unified) })
}
