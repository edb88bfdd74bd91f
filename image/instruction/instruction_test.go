package instruction

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

func TestApply(t *testing.T) {
	base := func() *container.Config {
		return &container.Config{Env: []string{"PATH=/bin", "HOME=/root"}, Cmd: []string{"old"}, WorkingDir: "/srv", Labels: map[string]string{"a": "1"}}
	}
	port := network.MustParsePort
	for _, c := range []struct {
		changes []string
		want    func(*container.Config)
	}{
		{[]string{`CMD ["a", "b c"]`}, func(c *container.Config) { c.Cmd = []string{"a", "b c"} }},
		{[]string{`CMD a "b c"`}, func(c *container.Config) { c.Cmd = []string{"/bin/sh", "-c", `a "b c"`} }},
		{[]string{`CMD [not json`}, func(c *container.Config) { c.Cmd = []string{"/bin/sh", "-c", `[not json`} }},
		{[]string{`ENTRYPOINT ["e"]`}, func(c *container.Config) { c.Entrypoint = []string{"e"}; c.Cmd = nil }},
		{[]string{`CMD x`, `ENTRYPOINT ["e"]`}, func(c *container.Config) {
			c.Entrypoint = []string{"e"}
			c.Cmd = []string{"/bin/sh", "-c", "x"}
		}},
		{[]string{`ENTRYPOINT []`}, func(c *container.Config) { c.Cmd = nil }},
		{[]string{`env PATH=$PATH:/x A="b c" B=d\ e C='$HOME' D="${HOME}"`}, func(c *container.Config) {
			c.Env = []string{"PATH=/bin:/x", "HOME=/root", "A=b c", "B=d e", "C=$HOME", "D=/root"}
		}},
		{[]string{`ENV A some "quoted" value`}, func(c *container.Config) { c.Env = append(c.Env, "A=some quoted value") }},
		{[]string{`ENV A=${NO:-none} B=${HOME:+yes} C=${NO}`}, func(c *container.Config) { c.Env = append(c.Env, "A=none", "B=yes", "C=") }},
		{[]string{`EXPOSE 80 53/udp 8000-8001`}, func(c *container.Config) {
			c.ExposedPorts = network.PortSet{port("80/tcp"): {}, port("53/udp"): {}, port("8000/tcp"): {}, port("8001/tcp"): {}}
		}},
		{[]string{`LABEL b="x y" a=2`}, func(c *container.Config) { c.Labels = map[string]string{"a": "2", "b": "x y"} }},
		{[]string{`ONBUILD RUN make`}, func(c *container.Config) { c.OnBuild = []string{"RUN make"} }},
		{[]string{`USER 1000:www`}, func(c *container.Config) { c.User = "1000:www" }},
		{[]string{`VOLUME /a "/b c"`, `VOLUME ["/d"]`}, func(c *container.Config) {
			c.Volumes = map[string]struct{}{"/a": {}, "/b c": {}, "/d": {}}
		}},
		{[]string{`WORKDIR app`, `WORKDIR ../x`}, func(c *container.Config) { c.WorkingDir = "/srv/x" }},
		{[]string{`STOPSIGNAL SIGQUIT`}, func(c *container.Config) { c.StopSignal = "SIGQUIT" }},
		{[]string{`HEALTHCHECK --interval=5s --retries=3 --start-period=1m CMD curl -f localhost`}, func(c *container.Config) {
			c.Healthcheck = &container.HealthConfig{Test: []string{"CMD-SHELL", "curl -f localhost"}, Interval: 5 * time.Second, Retries: 3, StartPeriod: time.Minute}
		}},
		{[]string{`HEALTHCHECK CMD ["x","y"]`}, func(c *container.Config) {
			c.Healthcheck = &container.HealthConfig{Test: []string{"CMD", "x", "y"}}
		}},
		{[]string{`HEALTHCHECK NONE`}, func(c *container.Config) { c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}} }},
		{[]string{"# comment\nUSER a\\\nb\n\nSTOPSIGNAL 9"}, func(c *container.Config) { c.User = "ab"; c.StopSignal = "9" }},
	} {
		got, want := base(), base()
		if err := Apply(got, c.changes); err != nil {
			t.Errorf("%q: %v", c.changes, err)
			continue
		}
		c.want(want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n got %+v\nwant %+v", c.changes, got, want)
		}
	}
}

func TestErrorsAreDockers(t *testing.T) {
	for change, want := range map[string]string{
		"RUN true":                         "run is not a valid change command",
		"FROM scratch":                     "from is not a valid change command",
		"ENV A":                            "ENV must have two arguments",
		"ENV":                              "ENV must have two arguments",
		"ENV A=1 B":                        `Syntax error - can't find = in "B". Must be of the form: name=value`,
		"ENV =1":                           "ENV names can not be blank",
		"EXPOSE":                           "EXPOSE requires at least one argument",
		"EXPOSE http":                      "invalid containerPort: http",
		"EXPOSE 99999":                     "invalid containerPort: 99999",
		"USER":                             "USER requires exactly one argument",
		"WORKDIR":                          "WORKDIR requires exactly one argument",
		"VOLUME":                           "VOLUME requires at least one argument",
		`VOLUME [""]`:                      "VOLUME specified can not be an empty string",
		"ONBUILD":                          "ONBUILD requires at least one argument",
		"ONBUILD ONBUILD RUN x":            "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
		"ONBUILD FROM x":                   "FROM isn't allowed as an ONBUILD trigger",
		"STOPSIGNAL NOPE":                  "invalid signal: NOPE",
		"HEALTHCHECK":                      "HEALTHCHECK requires at least one argument",
		"HEALTHCHECK CMD":                  "Missing command after HEALTHCHECK CMD",
		"HEALTHCHECK FOO bar":              `Unknown type "FOO" in HEALTHCHECK (try CMD)`,
		"HEALTHCHECK NONE x":               "HEALTHCHECK NONE takes no arguments",
		"HEALTHCHECK --interval=1us CMD x": `Interval "interval" cannot be less than 1ms`,
		"HEALTHCHECK --colour=red CMD x":   "unknown flag: --colour",
		`LABEL a="b`:                       "unexpected end of statement while looking for matching double-quote",
	} {
		err := Apply(&container.Config{}, []string{change})
		if !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("%s: %v", change, err)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, seed := range []string{`ENV A="b c" D=${X:-${Y:+$Z}}`, `CMD ["a"]`, `EXPOSE 1-65535`, `HEALTHCHECK --retries=1 CMD x`, "LABEL a='b\\\nUSER \"$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, change string) {
		cfg := &container.Config{Env: []string{"X=1", "Y="}}
		if err := Apply(cfg, []string{change}); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Fatalf("%q: %v", change, err)
		}
		for _, e := range cfg.Env {
			if !strings.Contains(e, "=") {
				t.Fatalf("environment has %q", e)
			}
		}
	})
}
