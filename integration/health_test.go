package integration

import (
	"testing"

	"gantry/internal/testkit"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

func health(d *testkit.Session, name string) container.Health {
	d.T.Helper()
	h := inspect(d, name).State.Health
	if h == nil {
		d.T.Fatalf("%s has no health", name)
	}
	return *h
}

func TestHealthFollowsTheProbe(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("health")
	r := d.Client().Events(d.Context(), client.EventsListOptions{Filters: client.Filters{}.Add("container", name).Add("event", "health_status")})
	d.Docker("run", "-d", "--name", name, "--health-cmd", "cat /ok", "--health-interval", "200ms", "--health-retries", "2", "busybox", "sleep", "1000")
	all := collect(d, r, "health_status: unhealthy")
	equal(t, "events", len(all), 1)
	h := health(d, name)
	if h.FailingStreak < 2 || len(h.Log) < 2 || h.Log[0].ExitCode != 1 {
		t.Errorf("health %+v", h)
	}
	contains(t, "output of the probe", h.Log[0].Output, "No such file")
	contains(t, "list", d.Docker("ps", "--filter", "name="+name, "--format", "{{.Status}}"), "(unhealthy)")
	d.Docker("exec", name, "touch", "/ok")
	collect(d, r, "health_status: healthy")
	equal(t, "streak", health(d, name).FailingStreak, 0)
	d.Eventually("at most five results", func() bool { return len(health(d, name).Log) == 5 })
}

func TestHealthInTheStartPeriodIsStarting(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("period")
	d.Docker("run", "-d", "--name", name, "--health-cmd", "false", "--health-interval", "50ms", "--health-retries", "1", "--health-start-period", "1h",
		"busybox", "sleep", "1000")
	d.Eventually("two probes", func() bool { return len(health(d, name).Log) >= 2 })
	h := health(d, name)
	equal(t, "status", string(h.Status), "starting")
	equal(t, "streak", h.FailingStreak, 0)
}

func TestProbesAreKilledAtTheirTimeout(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("timeout")
	d.Docker("run", "-d", "--name", name, "--health-cmd", "sleep 4321", "--health-interval", "100ms", "--health-timeout", "200ms", "--health-retries", "1",
		"busybox", "sleep", "1000")
	d.Eventually("unhealthy", func() bool { return health(d, name).Status == "unhealthy" })
	result := health(d, name).Log[0]
	equal(t, "exit code", result.ExitCode, -1)
	contains(t, "output", result.Output, "Health check exceeded timeout (200ms)")
	d.Docker("pause", name) // no further probes
	d.Docker("unpause", name)
}

func TestHealthcheckOfTheImage(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("probed", func(c *dockerspec.DockerOCIImageConfig) {
		c.Healthcheck = &dockerspec.HealthcheckConfig{Test: []string{"CMD", "true"}, Interval: 100_000_000}
		c.Cmd = []string{"sleep", "1000"}
	})
	name, without := d.Name("with"), d.Name("without")
	d.Docker("run", "-d", "--name", name, image)
	d.Docker("run", "-d", "--name", without, "--no-healthcheck", image)
	d.Eventually("healthy", func() bool { return health(d, name).Status == "healthy" })
	if h := inspect(d, without).State.Health; h != nil && h.Status != "none" {
		t.Errorf("health %+v", h)
	}
}

func TestHealthStartInterval(t *testing.T) {
	t.Parallel()
	d := engine(t)
	gantryOnly(t, d, "start interval (Docker 25)")
	name := d.Name("startinterval")
	d.Docker("run", "-d", "--name", name, "--health-cmd", "true", "--health-interval", "1h", "--health-start-period", "1h", "--health-start-interval", "50ms",
		"busybox", "sleep", "1000")
	d.Eventually("healthy", func() bool { return health(d, name).Status == "healthy" })
}
