package volume_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry/events"
	"gantry/internal/fault"
	"gantry/internal/filter"
	"gantry/volume"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/volume"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

func open(t *testing.T, root string) *volume.Service {
	t.Helper()
	s, err := volume.Open(t.Context(), volume.Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.WithoutCancel(t.Context())) })
	return s
}

func create(t *testing.T, s *volume.Service, o api.CreateRequest) *api.Volume {
	t.Helper()
	v, err := s.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func names(t *testing.T, s *volume.Service, f filter.Args) []string {
	t.Helper()
	l, err := s.List(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, v := range l.Volumes {
		out = append(out, v.Name)
	}
	return out
}

func TestCreateMakesDockersLayout(t *testing.T) {
	old := unix.Umask(0o77)
	defer unix.Umask(old)
	root := t.TempDir()
	s, err := volume.Open(t.Context(), volume.Config{Root: root, UID: 1000, GID: 1001})
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Create(t.Context(), api.CreateRequest{Name: "web", Labels: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if v.Mountpoint != filepath.Join(root, "volumes/web/_data") || v.Driver != "local" || v.Scope != "local" || v.CreatedAt == "" || v.Options != nil {
		t.Errorf("got %+v", v)
	}
	for path, mode := range map[string]os.FileMode{"volumes": 0o701, "volumes/web": 0o701, "volumes/web/_data": 0o755, "volumes/metadata.db": 0o600} {
		st, err := os.Stat(filepath.Join(root, path))
		if err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(v.Mountpoint, &st); err != nil || st.Uid != 1000 || st.Gid != 1001 {
		t.Errorf("data belongs to %d:%d, %v", st.Uid, st.Gid, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(root, "volumes/metadata.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_ = db.View(func(tx *bbolt.Tx) error {
		want := `{"Name":"web","Driver":"local","Labels":{"a":"b"},"Options":null}`
		if got := tx.Bucket([]byte("volumes")).Get([]byte("web")); string(got) != want {
			t.Errorf("record is %s", got)
		}
		return nil
	})
}

func TestCreateAgainReturnsTheVolume(t *testing.T) {
	s := open(t, t.TempDir())
	first := create(t, s, api.CreateRequest{Name: "web", Labels: map[string]string{"a": "b"}})
	again := create(t, s, api.CreateRequest{Name: "web", Driver: "local", Labels: map[string]string{"c": "d"}})
	if !reflect.DeepEqual(first, again) {
		t.Errorf("%+v, %+v", first, again)
	}
}

func TestCreateAnonymous(t *testing.T) {
	s := open(t, t.TempDir())
	v := create(t, s, api.CreateRequest{})
	if len(v.Name) != 64 || strings.Trim(v.Name, "0123456789abcdef") != "" {
		t.Errorf("name is %q", v.Name)
	}
	if _, ok := v.Labels["com.docker.volume.anonymous"]; !ok {
		t.Errorf("labels are %v", v.Labels)
	}
}

func TestCreateRefusesInDockerdsWords(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	for _, c := range []struct {
		o    api.CreateRequest
		kind error
		want string
	}{
		{api.CreateRequest{Name: "x!"}, errdefs.ErrInvalidArgument, `create x!: "x!" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`},
		{api.CreateRequest{Name: "../x"}, errdefs.ErrInvalidArgument, `"../x" includes invalid characters`},
		{api.CreateRequest{Name: ".new-a"}, errdefs.ErrInvalidArgument, "includes invalid characters"},
		{api.CreateRequest{Name: "x"}, errdefs.ErrInvalidArgument, "create x: volume name is too short, names should be at least two alphanumeric characters"},
		{api.CreateRequest{Name: "xx", Driver: "nope"}, errdefs.ErrNotFound, `create xx: error looking up volume plugin nope: plugin "nope" not found`},
		{api.CreateRequest{Name: "xx", DriverOpts: map[string]string{"bad": "1"}}, errdefs.ErrInvalidArgument, `create xx: invalid option: "bad"`},
		{api.CreateRequest{Name: "xx", DriverOpts: map[string]string{"type": "nfs"}}, errdefs.ErrInvalidArgument, `create xx: missing required option: "device"`},
		{api.CreateRequest{Name: "xx", DriverOpts: map[string]string{"size": "10m"}}, errdefs.ErrInvalidArgument, "create xx: quota size requested but no quota support"},
		{api.CreateRequest{Name: "xx", ClusterVolumeSpec: &api.ClusterVolumeSpec{}}, errdefs.ErrNotImplemented, "swarm"},
	} {
		if _, err := s.Create(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.kind) {
			t.Errorf("%+v: got %v", c.o, err)
		}
	}
	left, err := os.ReadDir(filepath.Join(root, "volumes"))
	if err != nil || len(left) != 1 {
		t.Errorf("something was changed: %v, %v", left, err)
	}
}

func TestReopenFindsEverything(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	want := create(t, s, api.CreateRequest{Name: "tmp", Labels: map[string]string{}, DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}})
	create(t, s, api.CreateRequest{Name: "gone"})
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.RemoveAll(filepath.Join(root, "volumes/gone")),
		os.MkdirAll(filepath.Join(root, "volumes/copied/_data"), 0o755),
		os.MkdirAll(filepath.Join(root, "volumes/nodata"), 0o755),
		os.MkdirAll(filepath.Join(root, "volumes/.new-1/_data"), 0o755),
		os.MkdirAll(filepath.Join(root, "volumes/.old-2/_data/deep"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, root)
	if got := names(t, s, nil); !slices.Equal(got, []string{"copied", "tmp"}) {
		t.Errorf("got %v", got)
	}
	got, err := s.Inspect(t.Context(), "tmp")
	if err != nil {
		t.Fatal(err)
	}
	got.CreatedAt, want.CreatedAt = "", ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	opts, err := os.ReadFile(filepath.Join(root, "volumes/tmp/opts.json"))
	if err != nil || string(opts) != `{"MountType":"tmpfs","MountOpts":"size=1m","MountDevice":"tmpfs","Quota":{"Size":0}}` {
		t.Errorf("opts.json is %s, %v", opts, err)
	}
	eventually(t, func() bool {
		hidden, _ := filepath.Glob(filepath.Join(root, "volumes/.*"))
		return len(hidden) == 0
	})
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestOpenRefusesARootInUse(t *testing.T) {
	root := t.TempDir()
	open(t, root)
	if _, err := volume.Open(t.Context(), volume.Config{Root: root}); err == nil || !strings.Contains(err.Error(), "in use by another engine") {
		t.Errorf("got %v", err)
	}
}

func TestPluginVolumesAreKept(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "volumes"), 0o701); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(root, "volumes/metadata.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("volumes"))
		if err != nil {
			return err
		}
		return errors.Join(b.Put([]byte("far"), []byte(`{"Name":"far","Driver":"rexray"}`)), b.Put([]byte("junk"), []byte(`{{`)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := open(t, root)
	if _, err := s.Create(t.Context(), api.CreateRequest{Name: "far", Driver: "local"}); !errors.Is(err, errdefs.ErrConflict) {
		t.Errorf("got %v", err)
	}
	for _, err := range []error{
		func() error { _, err := s.Inspect(t.Context(), "far"); return err }(),
		func() error { _, err := s.Mount(t.Context(), "far", "c"); return err }(),
		s.Remove(t.Context(), "far", false),
	} {
		if !errors.Is(err, errdefs.ErrNotFound) || !strings.Contains(err.Error(), `plugin "rexray" not found`) {
			t.Errorf("got %v", err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = open(t, root)
	if _, err := s.Create(t.Context(), api.CreateRequest{Name: "far", Driver: "local"}); !errors.Is(err, errdefs.ErrConflict) {
		t.Errorf("after a restart: got %v", err)
	}
}

func TestRemove(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	v := create(t, s, api.CreateRequest{Name: "web"})
	if err := os.MkdirAll(filepath.Join(v.Mountpoint, "deep/er"), 0o755); err != nil {
		t.Fatal(err)
	}
	one, err := s.Hold(t.Context(), "web", volume.Holder{Kind: "container", ID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	two, _ := s.Hold(t.Context(), "web", volume.Holder{Kind: "container", ID: "c2"})
	err = s.Remove(t.Context(), "web", true)
	if !errors.Is(err, errdefs.ErrConflict) || err.Error() != "remove web: volume is in use - [c1, c2]" {
		t.Errorf("got %v", err)
	}
	_, _ = one(t.Context()), one(t.Context()) // twice is once
	_ = two(t.Context())
	if err := s.Remove(t.Context(), "web", false); err != nil {
		t.Fatal(err)
	}
	err = s.Remove(t.Context(), "web", false)
	if !errors.Is(err, errdefs.ErrNotFound) || err.Error() != "get web: no such volume" {
		t.Errorf("got %v", err)
	}
	if err := s.Remove(t.Context(), "web", true); err != nil {
		t.Errorf("forced: %v", err)
	}
	if _, err := s.Hold(t.Context(), "web", volume.Holder{}); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	eventually(t, func() bool {
		left, _ := os.ReadDir(filepath.Join(root, "volumes"))
		return len(left) == 1
	})
	create(t, s, api.CreateRequest{Name: "web"})
}

func TestListFilters(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, api.CreateRequest{Name: "web-data", Labels: map[string]string{"tier": "web"}})
	create(t, s, api.CreateRequest{Name: "db-data", Labels: map[string]string{"tier": "db"}})
	if _, err := s.Hold(t.Context(), "db-data", volume.Holder{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]filter.Args{
		"[db-data web-data]": {"name": {"data"}},
		"[web-data]":         {"label": {"tier=web"}},
		"[db-data]":          {"dangling": {"false"}},
		"[web-data] ":        {"dangling": {"1"}},
		"[]":                 {"driver": {"x"}},
	} {
		if got := fmt.Sprint(names(t, s, f)); got != strings.TrimSpace(want) {
			t.Errorf("%v: got %s", f, got)
		}
	}
	if _, err := s.List(t.Context(), filter.Args{"x": {"y"}}); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("got %v", err)
	}
}

func TestPruneRemovesAnonymousOnesUnlessTold(t *testing.T) {
	s := open(t, t.TempDir())
	anonymous := create(t, s, api.CreateRequest{})
	create(t, s, api.CreateRequest{Name: "named", Labels: map[string]string{"keep": ""}})
	create(t, s, api.CreateRequest{Name: "other"})
	_, release, err := s.CreateHeld(t.Context(), api.CreateRequest{}, volume.Holder{ID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(anonymous.Mountpoint, "f"), make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := s.Prune(t.Context(), nil)
	if err != nil || !slices.Equal(r.VolumesDeleted, []string{anonymous.Name}) || r.SpaceReclaimed != 1000 {
		t.Errorf("got %+v, %v", r, err)
	}
	_ = release(t.Context())
	r, err = s.Prune(t.Context(), filter.Args{"all": {"true"}, "label!": {"keep"}})
	if err != nil || len(r.VolumesDeleted) != 2 || !slices.Equal(names(t, s, nil), []string{"named"}) {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestDiskUsageCountsEveryInodeOnce(t *testing.T) {
	s := open(t, t.TempDir())
	v := create(t, s, api.CreateRequest{Name: "web"})
	for _, err := range []error{
		os.WriteFile(filepath.Join(v.Mountpoint, "a"), make([]byte, 500), 0o644),
		os.Link(filepath.Join(v.Mountpoint, "a"), filepath.Join(v.Mountpoint, "b")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	create(t, s, api.CreateRequest{Name: "held", DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs"}})
	if _, err := s.Hold(t.Context(), "held", volume.Holder{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.DiskUsage(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if got.TotalCount != 2 || got.ActiveCount != 1 || got.TotalSize != 500 || got.Reclaimable != 500 {
		t.Errorf("got %+v", got)
	}
	if u := got.Items[0].UsageData; u.RefCount != 1 || u.Size != -1 {
		t.Errorf("a mounted volume: %+v", u)
	}
	if u := got.Items[1].UsageData; u.RefCount != 0 || u.Size != 500 {
		t.Errorf("a plain volume: %+v", u)
	}
}

func TestEventsTellTheLifeOfAVolume(t *testing.T) {
	journal, err := events.Open(t.Context(), events.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := volume.Open(t.Context(), volume.Config{Root: t.TempDir(), Events: journal})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }()
	create(t, s, api.CreateRequest{Name: "web"})
	if _, err := s.Mount(t.Context(), "web", "c1"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.Unmount(t.Context(), "web", "c1"), s.Remove(t.Context(), "web", false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	seen, err := journal.Subscribe(t.Context(), events.Query{Since: time.Now().Add(-time.Hour), Until: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for m, err := range seen {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(m.Type, " ", m.Action, " ", m.Actor.ID, " ", m.Actor.Attributes))
	}
	want := []string{"volume create web map[driver:local]", "volume mount web map[container:c1 driver:local]",
		"volume unmount web map[container:c1 driver:local]", "volume destroy web map[driver:local]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestConcurrentUseOfOneName(t *testing.T) {
	s := open(t, t.TempDir())
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 10 {
				_, release, err := s.CreateHeld(t.Context(), api.CreateRequest{Name: "web"}, volume.Holder{ID: "c"})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Mount(t.Context(), "web", "c"); err != nil {
					t.Error(err)
				}
				if err := s.Unmount(t.Context(), "web", "c"); err != nil {
					t.Error(err)
				}
				_ = release(t.Context())
				if err := s.Remove(t.Context(), "web", true); err != nil && !errors.Is(err, errdefs.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
}

// victimEnv makes this binary the process that TestEveryCrashLeavesAllOrNothing kills.
const victimEnv = "GANTRY_VOLUME_VICTIM"

func TestMain(m *testing.M) {
	root := os.Getenv(victimEnv)
	if root == "" {
		os.Exit(m.Run())
	}
	ctx := context.Background()
	s, err := volume.Open(ctx, volume.Config{Root: root})
	if err == nil {
		_, err = s.Create(ctx, api.CreateRequest{Name: "web", Labels: map[string]string{"a": "b"}})
	}
	if err == nil {
		err = s.Remove(ctx, "web", false)
	}
	fmt.Println("not killed:", err)
}

func TestEveryCrashLeavesAllOrNothing(t *testing.T) {
	for point, survives := range map[string]bool{
		"volume.create.data": false, "volume.create.record": false, "volume.create.rename": true,
		"volume.remove.rename": false, "volume.remove.record": false,
	} {
		root := t.TempDir()
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), victimEnv+"="+root, fault.Env+"="+point)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("%s: it was not killed: %v\n%s", point, err, out)
		}
		s := open(t, root)
		got := names(t, s, nil)
		if survives != slices.Contains(got, "web") {
			t.Errorf("%s: left %v", point, got)
		}
		if survives {
			v, err := s.Inspect(t.Context(), "web")
			if err != nil || v.Labels["a"] != "b" {
				t.Errorf("%s: left half a volume: %+v, %v", point, v, err)
			}
		}
		create(t, s, api.CreateRequest{Name: "web"}) // nothing is in the way
		eventually(t, func() bool {
			left, _ := os.ReadDir(filepath.Join(root, "volumes"))
			return len(left) == 2
		})
	}
}

func FuzzOptionsFile(f *testing.F) {
	f.Add(`{"MountType":"tmpfs","MountDevice":"tmpfs"}`)
	f.Fuzz(func(t *testing.T, data string) {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, "volumes/web/_data"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "volumes/web/opts.json"), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		s := open(t, root)
		if got := len(names(t, s, nil)); json.Valid([]byte(data)) && got > 1 {
			t.Errorf("%d volumes", got)
		}
	})
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
