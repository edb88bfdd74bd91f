package container

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

func TestBindsAreReadAsDockerReadsThem(t *testing.T) {
	for _, c := range []struct {
		bind, source, name, dest string
		rw, anonymous            bool
		typ                      mount.Type
	}{
		{"/a:/b", "/a", "", "/b", true, false, mount.TypeBind},
		{"/a/../c:/b/:ro", "/c", "", "/b", false, false, mount.TypeBind},
		{"v:/b:nocopy", "", "v", "/b", true, false, mount.TypeVolume},
		{"/b", "", "", "/b", true, true, mount.TypeVolume},
		{"/a:/b:rslave,ro", "/a", "", "/b", false, false, mount.TypeBind},
	} {
		m, err := parseBind(c.bind, "")
		if err != nil {
			t.Errorf("%s: %v", c.bind, err)
			continue
		}
		if m.Source != c.source || m.Name != c.name || m.Destination != c.dest || m.RW != c.rw || m.Anonymous != c.anonymous || m.Type != c.typ {
			t.Errorf("%s: %+v", c.bind, m)
		}
	}
}

func TestBadBindsAreInvalidArguments(t *testing.T) {
	for _, bind := range []string{"", ":", "/a:", "a:b", "/a:/", "/a:/b:ro,rw", "/a:/b:nosuch", "/a:/b:ro:x", "v:/b:ro,ro"} {
		if m, err := parseBind(bind, ""); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %+v, %v", bind, m, err)
		}
	}
}

func FuzzParseBind(f *testing.F) {
	for _, s := range []string{"/a:/b:ro", "v:/b", "/b", "::", "/a:/b:z,rshared"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseBind(s, "")
		if err == nil && (!strings.HasPrefix(m.Destination, "/") || m.Destination == "/") {
			t.Errorf("%q is mounted at %q", s, m.Destination)
		}
	})
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"web": true, "/web": true, "a1": true, "a.b-c_d": true, "9z": true,
		"": false, "a": false, "-a": false, "a b": false, "a/b": false, "ä1": false, "/": false,
	} {
		if err := checkName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	for range 100 {
		if name := randomName(1); checkName(name) != nil {
			t.Errorf("random name %q is no name", name)
		}
	}
}

func TestTheUsersEnvironmentWins(t *testing.T) {
	got := mergeEnv([]string{"A=1", "B="}, []string{"A=2", "C=3"})
	if strings.Join(got, " ") != "A=1 B= C=3" {
		t.Error(got)
	}
}

func TestEveryStatusCanBeLeft(t *testing.T) {
	for from, to := range edges {
		if len(to) == 0 {
			t.Errorf("nothing leads out of %q", from)
		}
		for _, next := range to {
			if edges[next] == nil {
				t.Errorf("%q leads to %q, which nothing leads out of", from, next)
			}
		}
	}
}

func TestPrefixesFindOneContainer(t *testing.T) {
	var x index
	x.init()
	for _, id := range []string{"aaa1", "aab2", "bcd3"} {
		x.add(newContainer("", &record.Container{ID: id}))
	}
	if err := x.reserve("web", "bcd3"); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{"aaa": "aaa1", "b": "bcd3", "web": "bcd3", "/web": "bcd3", "aab2": "aab2"} {
		if c, err := x.get(ref); err != nil || c.id != want {
			t.Errorf("%s: %v, %v", ref, c, err)
		}
	}
	if _, err := x.get("aa"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an ambiguous prefix: %v", err)
	}
	for _, ref := range []string{"", "c", "nosuch", "aaa12"} {
		if _, err := x.get(ref); !errdefs.IsNotFound(err) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	if err := x.reserve("web", "aaa1"); !errdefs.IsConflict(err) {
		t.Errorf("a name that is taken: %v", err)
	}
}

func TestStatusTexts(t *testing.T) {
	now := time.Unix(10000, 0)
	at := func(s record.State) string {
		return statusText(&record.Container{State: s}, now)
	}
	hour := now.Add(-time.Hour)
	for want, s := range map[string]record.State{
		"Up About an hour":                    {Status: record.Running, StartedAt: hour},
		"Up About an hour (Paused)":           {Status: record.Paused, StartedAt: hour},
		"Up About an hour (health: starting)": {Status: record.Running, StartedAt: hour, Health: &container.Health{Status: container.Starting}},
		"Up About an hour (healthy)":          {Status: record.Running, StartedAt: hour, Health: &container.Health{Status: container.Healthy}},
		"Exited (3) About an hour ago":        {Status: record.Exited, ExitCode: 3, StartedAt: hour, FinishedAt: hour},
		"Restarting (1) About an hour ago":    {Status: record.Restarting, ExitCode: 1, FinishedAt: hour},
		"Created":                             {Status: record.Starting},
		"Removal In Progress":                 {Status: record.Removing},
		"Dead":                                {Status: record.Dead},
	} {
		if got := at(s); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	set := &Settings{NCPU: 2, LogDriver: "json-file"}
	negative := int64(-7)
	for want, h := range map[string]container.HostConfig{
		"Minimum memory limit allowed is 6MB":                                    {Resources: container.Resources{Memory: 1}},
		"Minimum memoryswap limit should be larger than memory limit, see usage": {Resources: container.Resources{Memory: 8 << 20, MemorySwap: 7 << 20}},
		"Requested CPUs are not available - requested 5, available: 0-1":         {Resources: container.Resources{CpusetCpus: "5"}},
		"Invalid value 1-x for cpuset cpus":                                      {Resources: container.Resources{CpusetCpus: "1-x"}},
		"Range of blkio weight is from 10 to 1000":                               {Resources: container.Resources{BlkioWeight: 5}},
		"invalid pids limit: -7":                                                 {Resources: container.Resources{PidsLimit: &negative}},
		"can't create 'AutoRemove' container with restart policy":                {AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}},
		"SHM size can not be less than 0":                                        {ShmSize: -1},
	} {
		h.LogConfig.Type = "json-file"
		_, err := validate(&container.Config{Cmd: []string{"x"}}, &h, set)
		if !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"web", "/web", "a", "//a", "a/b", "a\x1b[0m", "é1", ""} {
		f.Add(s)
	}
	good := regexp.MustCompile(`^/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)
	f.Fuzz(func(t *testing.T, s string) {
		if err := checkName(s); (err == nil) != good.MatchString(s) {
			t.Errorf("%q: %v", s, err)
		}
	})
}
