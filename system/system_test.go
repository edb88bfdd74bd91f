package system

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry/config"
	"gantry/container"
	"gantry/events"
	"gantry/host"
	"gantry/security"
	"gantry/task"

	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

// rooms answers what the neighbours would.
type rooms struct {
	list   []containertypes.Summary
	images *image.DiskUsage
	err    error
}

func (r *rooms) Count() container.Counts {
	return container.Counts{Total: 6, Running: 3, Paused: 1, Stopped: 2}
}
func (r *rooms) List(_ context.Context, o container.ListOptions) ([]containertypes.Summary, error) {
	if !o.All || !o.Size {
		return nil, errors.New("not all containers, or without sizes")
	}
	return r.list, nil
}
func (r *rooms) Warnings() []string { return []string{"container x was put aside"} }

type imageRoom struct{ *rooms }

func (r imageRoom) Count(context.Context) (int, error) { return 4, r.err }
func (r imageRoom) DiskUsage(context.Context, bool) (*image.DiskUsage, error) {
	return r.images, r.err
}

type volumeRoom struct{ *rooms }

func (r volumeRoom) DiskUsage(ctx context.Context, _ bool) (*volume.DiskUsage, error) {
	if r.err != nil {
		<-ctx.Done() // a long walk, which a failure elsewhere ends
		return nil, ctx.Err()
	}
	return &volume.DiskUsage{TotalCount: 2}, nil
}

type storageRoom struct{}

func (storageRoom) Driver() (string, [][2]string) {
	return "overlayfs", [][2]string{{"Backing Filesystem", "extfs"}}
}

type runtimeRoom struct{}

func (runtimeRoom) Runtimes() (map[string]task.Runtime, string) {
	return map[string]task.Runtime{"crun": {Path: "/usr/bin/crun", Version: "1.8.1"}}, "crun"
}
func (runtimeRoom) Warnings() []string { return []string{"runtime old is vulnerable"} }

func open(t *testing.T, r *rooms, env map[string]string, args ...string) *Service {
	t.Helper()
	set, err := config.Load("gantryd", append(args, "--config-file=/dev/null"), func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.Open(t.Context(), host.Config{})
	if err != nil {
		t.Fatal(err)
	}
	confine, err := security.Open(t.Context(), security.Config{})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := events.Open(t.Context(), events.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{
		Settings: set, Host: h, ID: "me", Containers: r, Images: imageRoom{r}, Volumes: volumeRoom{r}, Storage: storageRoom{},
		Runtimes: runtimeRoom{}, Security: confine, Events: journal, APIVersion: "1.56", MinAPIVersion: "1.24", Firewall: "nftables",
		Plugins: Plugins{Log: []string{"local"}, Network: []string{"bridge"}, Volume: []string{"local"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInfoIsFilledFromTheHostAndTheRooms(t *testing.T) {
	s := open(t, &rooms{}, map[string]string{"HTTP_PROXY": "http://me:secret@proxy"},
		"--label=a=b", "--insecure-registry=10.0.0.0/8", "--insecure-registry=r.example.com:5000", "--registry-mirror=https://m.example.com",
		"--default-address-pool=base=10.5.0.0/16,size=24", "--add-runtime=broken=/nonexistent", "--live-restore", "--experimental", "--data-root=/x")
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]bool{
		"ID":          info.ID == "me",
		"counts":      info.Containers == 6 && info.ContainersRunning == 3 && info.ContainersPaused == 1 && info.ContainersStopped == 2 && info.Images == 4,
		"driver":      info.Driver == "overlayfs" && len(info.DriverStatus) == 1,
		"host":        info.NCPU > 0 && info.MemTotal > 0 && info.KernelVersion != "" && info.OperatingSystem != "" && info.Architecture != "" && info.OSType == "linux",
		"cgroups":     info.CgroupDriver == "cgroupfs" && (info.CgroupVersion == "1" || info.CgroupVersion == "2") && info.MemoryLimit && info.PidsLimit,
		"name":        info.Name != "",
		"process":     info.NFd > 0 && info.NGoroutines > 0,
		"time":        time.Until(timeOf(t, info.SystemTime)).Abs() < time.Minute,
		"root":        info.DockerRootDir == "/x",
		"labels":      slices.Equal(info.Labels, []string{"a=b"}),
		"runtimes":    info.DefaultRuntime == "crun" && info.Runtimes["crun"].Path == "/usr/bin/crun" && info.Runtimes["broken"].Path == "/nonexistent",
		"commits":     info.RuncCommit.ID == "crun 1.8.1" && info.InitCommit.ID != "" && info.InitBinary == "gantry-init",
		"proxy":       info.HTTPProxy == "http://xxxxx:xxxxx@proxy",
		"pools":       len(info.DefaultAddressPools) == 1 && info.DefaultAddressPools[0].Size == 24,
		"firewall":    info.FirewallBackend.Driver == "nftables",
		"swarm":       info.Swarm.LocalNodeState == "inactive",
		"CDI":         slices.Equal(info.CDISpecDirs, []string{"/etc/cdi", "/var/run/cdi"}),
		"containerd":  info.Containerd == nil,
		"registry":    len(info.RegistryConfig.InsecureRegistryCIDRs) == 3 && !info.RegistryConfig.IndexConfigs["r.example.com:5000"].Secure,
		"mirror":      slices.Equal(info.RegistryConfig.IndexConfigs["docker.io"].Mirrors, []string{"https://m.example.com/"}),
		"switches":    info.LiveRestoreEnabled && info.ExperimentalBuild && !info.Debug,
		"seccomp":     slices.Contains(info.SecurityOptions, "name=seccomp,profile=builtin"),
		"log drivers": slices.Equal(info.Plugins.Log, []string{"local"}) && info.LoggingDriver == "json-file",
	} {
		if !ok {
			t.Errorf("%s is wrong: %+v", what, info)
		}
	}
	warnings := strings.Join(info.Warnings, "\n")
	for _, want := range []string{"WARNING: runtime old is vulnerable", "WARNING: container x was put aside"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("%q is not in %q", want, warnings)
		}
	}
}

func timeOf(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestOpenAPIIsWarnedAbout(t *testing.T) {
	s := open(t, &rooms{}, nil, "-H", "tcp://0.0.0.0:2375", "--tls=false")
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(info.Warnings[0], "WARNING: API is accessible on http://0.0.0.0:2375 without encryption.") {
		t.Errorf("%q", info.Warnings)
	}
}

func TestVersionHasWhatTheDockerCommandPrints(t *testing.T) {
	s := open(t, &rooms{}, nil)
	v, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range v.Components {
		names = append(names, c.Name)
		if c.Version == "" {
			t.Errorf("%s has no version", c.Name)
		}
	}
	if v.Platform.Name != "gantry" || !slices.Equal(names, []string{"Engine", "crun", "gantry-supervisor"}) {
		t.Errorf("%s: %v", v.Platform.Name, names)
	}
	for _, key := range []string{"ApiVersion", "MinAPIVersion", "Arch", "Os", "GitCommit", "GoVersion", "KernelVersion", "Experimental"} {
		if v.Components[0].Details[key] == "" {
			t.Errorf("the engine has no %s", key)
		}
	}
	if v.BuildTime != "" {
		timeOf(t, v.BuildTime)
	}
}

func TestDiskUsageOfContainers(t *testing.T) {
	s := open(t, &rooms{
		list: []containertypes.Summary{
			{State: containertypes.StateRunning, SizeRw: 1}, {State: containertypes.StatePaused, SizeRw: 2},
			{State: containertypes.StateExited, SizeRw: 4}, {State: containertypes.StateCreated, SizeRw: 8},
		},
		images: &image.DiskUsage{TotalCount: 9},
	}, nil)
	all, err := s.DiskUsage(t.Context(), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	c := all.ContainerUsage
	if c.ActiveCount != 2 || c.TotalCount != 4 || c.TotalSize != 15 || c.Reclaimable != 12 || c.Items != nil {
		t.Errorf("%+v", c)
	}
	if all.ImageUsage.TotalCount != 9 || all.VolumeUsage.TotalCount != 2 || all.BuildCacheUsage == nil {
		t.Errorf("%+v", all)
	}
	some, err := s.DiskUsage(t.Context(), []system.DiskUsageObject{system.ContainerObject}, true)
	if err != nil || some.ImageUsage != nil || some.VolumeUsage != nil || len(some.ContainerUsage.Items) != 4 {
		t.Errorf("%+v, %v", some, err)
	}
}

func TestDiskUsageEndsAtTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	if _, err := open(t, &rooms{err: broken}, nil).DiskUsage(t.Context(), nil, false); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestReloadChangesTheAnswers(t *testing.T) {
	s := open(t, &rooms{}, nil)
	next := config.Default("gantryd")
	next.Log.Debug, next.Labels = true, []string{"x=y"}
	s.Reload(t.Context(), next)
	info, err := s.Info(t.Context())
	if err != nil || !info.Debug || info.Labels[0] != "x=y" {
		t.Errorf("%+v, %v", info, err)
	}
}

// Lists that are empty are lists to clients, never null.
func TestEmptyListsAreNotNull(t *testing.T) {
	info, err := open(t, &rooms{}, nil).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"Labels":[]`, `"GenericResources":[]`, `"RemoteManagers":[]`, `"Mirrors":[]`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

func TestIdentityIsKept(t *testing.T) {
	root := t.TempDir()
	first, err := Identify(t.Context(), root)
	if err != nil || len(first.ID) != 36 {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := Identify(t.Context(), root); err != nil || second != first {
		t.Errorf("%+v, %v", second, err)
	}
	st, err := os.Stat(filepath.Join(root, "trust"))
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
	old := "ABCD:EFGH:IJKL"
	if err := os.WriteFile(filepath.Join(root, "engine-id"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if kept, err := Identify(t.Context(), root); err != nil || kept.ID != old {
		t.Errorf("%+v, %v", kept, err)
	}
}
