package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

func TestListFilters(t *testing.T) {
	t.Parallel()
	d := engine(t)
	label := d.Name("filter")
	mark := "mark=" + label
	volume := volumeName(d)
	running := up(d, "-l", mark, "-l", "role=web", "-p", "127.0.0.1::8080", "-v", volume+":/data")
	paused := up(d, "-l", mark, "--health-cmd", "true", "--health-interval", "1h")
	d.Docker("pause", paused)
	created := d.Name("created")
	d.Docker("create", "--name", created, "-l", mark, "--network", "host", "busybox", "true")
	exited := d.Name("exited")
	d.CLI("run", "--name", exited, "-l", mark, "busybox", "sh", "-c", "exit 3")
	id := inspect(d, running).ID

	for _, c := range []struct {
		name    string
		filters []string
		want    []string
	}{
		{"running ones by default", []string{}, []string{running, paused}},
		{"all", []string{"-a"}, []string{running, paused, created, exited}},
		{"last", []string{"-n", "2", "--filter", "name=" + created, "--filter", "name=" + exited, "-a"}, []string{exited, created}},
		{"id", []string{"-a", "--filter", "id=" + id[:10]}, []string{running}},
		{"name is a regular expression", []string{"-a", "--filter", "name=^/?" + running + "$"}, []string{running}},
		{"two names are either", []string{"-a", "--filter", "name=" + running, "--filter", "name=" + created}, []string{running, created}},
		{"label with value", []string{"-a", "--filter", "label=role=web"}, []string{running}},
		{"label", []string{"-a", "--filter", "label=role"}, []string{running}},
		{"exit code", []string{"-a", "--filter", "exited=3"}, []string{exited}},
		{"status", []string{"--filter", "status=created"}, []string{created}},
		{"two statuses", []string{"--filter", "status=paused", "--filter", "status=exited"}, []string{paused, exited}},
		{"ancestor", []string{"-a", "--filter", "ancestor=busybox"}, []string{running, paused, created, exited}},
		{"missing ancestor", []string{"-a", "--filter", "ancestor=nosuch"}, nil},
		{"before", []string{"-a", "--filter", "before=" + created}, []string{running, paused}},
		{"since", []string{"-a", "--filter", "since=" + paused}, []string{created, exited}},
		{"volume by name", []string{"-a", "--filter", "volume=" + volume}, []string{running}},
		{"volume by destination", []string{"-a", "--filter", "volume=/data"}, []string{running}},
		{"network", []string{"-a", "--filter", "network=host"}, []string{created}},
		{"publish", []string{"-a", "--filter", "publish=8080"}, nil}, // the host's port
		{"expose", []string{"-a", "--filter", "expose=8080"}, []string{running}},
		{"expose range", []string{"-a", "--filter", "expose=8000-8100/tcp"}, []string{running}},
		{"health none", []string{"-a", "--filter", "health=none"}, []string{running, created, exited}},
		{"is-task", []string{"-a", "--filter", "is-task=false"}, []string{running, paused, created, exited}},
		{"isolation", []string{"-a", "--filter", "label=role"}, []string{running}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := slices.Concat([]string{"ps", "--filter", "label=" + mark, "--format", "{{.Names}}"}, c.filters)
			got := strings.Fields(d.With(t).Docker(args...))
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("containers %v, want %v", got, c.want)
			}
		})
	}
	t.Run("published port", func(t *testing.T) {
		_, port, _ := strings.Cut(d.Docker("port", running, "8080"), ":")
		equal(t, "name", d.Docker("ps", "--filter", "publish="+port, "--format", "{{.Names}}"), running)
	})
	for _, c := range []struct{ text, filter string }{
		{"invalid filter 'nosuch'", "nosuch=1"},
		{"invalid filter 'status=nosuch'", "status=nosuch"},
		{"invalid filter 'exited=x'", "exited=x"},
		{"No such container: nosuch", "before=nosuch"},
		{"invalid filter 'health=nosuch'", "health=nosuch"},
	} {
		t.Run("refused "+c.filter, func(t *testing.T) {
			text := c.text
			if d.Reference() {
				text = "" // the texts changed with Docker 23
			}
			d.With(t).Fails(1, []string{text}, "ps", "-a", "--filter", c.filter)
		})
	}
}

func TestListShowsWhatTheCLIPrints(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("shown")
	d.Docker("run", "-d", "--name", name, "-l", "a=b", "-p", "127.0.0.1:18081:80/tcp", "-p", "127.0.0.1:18082:53/udp", "busybox", "sleep", "1000")
	line := d.Docker("ps", "--no-trunc", "--filter", "name="+name, "--format",
		"{{.ID}}|{{.Image}}|{{.Command}}|{{.Ports}}|{{.State}}|{{.Names}}|{{.Labels}}|{{.Networks}}|{{.Mounts}}|{{.LocalVolumes}}")
	equal(t, "line", line, inspect(d, name).ID+`|busybox|"sleep 1000"|127.0.0.1:18082->53/udp, 127.0.0.1:18081->80/tcp|running|`+name+"|a=b|bridge||0")
	contains(t, "status", d.Docker("ps", "--filter", "name="+name, "--format", "{{.Status}}"), "Up ")
	var fields map[string]any
	if err := json.Unmarshal([]byte(d.Docker("ps", "--filter", "name="+name, "--format", "json")), &fields); err != nil || fields["Names"] != name {
		t.Errorf("as JSON: %v, %v", fields, err)
	}
	d.Docker("kill", name)
	wait(d, name)
	contains(t, "status", d.Docker("ps", "-a", "--filter", "name="+name, "--format", "{{.Status}}"), "Exited (137) ")
	equal(t, "ports", d.Docker("ps", "-a", "--filter", "name="+name, "--format", "{{.Ports}}"), "")
}

func TestListSizes(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("exec", name, "sh", "-c", "head -c 100000 /dev/zero >/file; sync")
	r, err := d.Client().ContainerList(d.Context(), client.ContainerListOptions{Size: true, Filters: client.Filters{}.Add("name", name)})
	if err != nil || len(r.Items) != 1 {
		t.Fatalf("list: %v, %v", r.Items, err)
	}
	c := r.Items[0]
	if c.SizeRw < 100000 || c.SizeRw > 300000 || c.SizeRootFs < c.SizeRw+1000000 {
		t.Errorf("sizes %d and %d", c.SizeRw, c.SizeRootFs)
	}
	if c.HostConfig.NetworkMode != "bridge" && c.HostConfig.NetworkMode != "default" {
		t.Errorf("network mode %q", c.HostConfig.NetworkMode)
	}
	got, err := d.Client().ContainerInspect(d.Context(), name, client.ContainerInspectOptions{Size: true})
	if err != nil || got.Container.SizeRw == nil || *got.Container.SizeRw != c.SizeRw {
		t.Errorf("inspect: %v, %v", got.Container.SizeRw, err)
	}
}

func TestInspectOfAMissingContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	_, err := d.Client().ContainerInspect(d.Context(), "nosuch", client.ContainerInspectOptions{})
	if !errdefs.IsNotFound(err) || !strings.HasSuffix(err.Error(), "No such container: nosuch") {
		t.Errorf("error %v", err)
	}
}

func TestInspectTellsEverything(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "--hostname", "h", "-e", "A=1", "-m", "64m", "--restart", "on-failure:3", "--log-opt", "max-size=1m", "--tmpfs", "/t")
	c := inspect(d, name)
	equal(t, "name", c.Name, "/"+name)
	equal(t, "path", c.Path, "sh")
	equal(t, "args", strings.Join(c.Args, "|"), strings.Join(forever[1:], "|"))
	equal(t, "image", strings.HasPrefix(c.Image, "sha256:"), true)
	equal(t, "platform", c.Platform, "linux")
	equal(t, "log path", c.LogPath, d.DataRoot()+"/containers/"+c.ID+"/"+c.ID+"-json.log")
	equal(t, "hosts path", c.HostsPath, d.DataRoot()+"/containers/"+c.ID+"/hosts")
	equal(t, "resolv.conf path", c.ResolvConfPath, d.DataRoot()+"/containers/"+c.ID+"/resolv.conf")
	equal(t, "hostname path", c.HostnamePath, d.DataRoot()+"/containers/"+c.ID+"/hostname")
	equal(t, "hostname", c.Config.Hostname, "h")
	equal(t, "image name", c.Config.Image, "busybox")
	equal(t, "restart policy", string(c.HostConfig.RestartPolicy.Name), "on-failure")
	equal(t, "log driver", c.HostConfig.LogConfig.Type, "json-file")
	equal(t, "log option", c.HostConfig.LogConfig.Config["max-size"], "1m")
	equal(t, "shm", c.HostConfig.ShmSize, 64<<20)
	equal(t, "cgroup parent", c.HostConfig.CgroupParent, "")
	equal(t, "runtime is named", c.HostConfig.Runtime != "", true)
	bridge := c.NetworkSettings.Networks["bridge"]
	if bridge == nil || !bridge.IPAddress.IsValid() || !bridge.Gateway.IsValid() || bridge.EndpointID == "" || bridge.NetworkID == "" ||
		len(bridge.MacAddress) == 0 || bridge.IPPrefixLen == 0 {
		t.Errorf("endpoint %+v", bridge)
	}
	d.Docker("stop", name)
	if bridge := inspect(d, name).NetworkSettings.Networks["bridge"]; bridge == nil || bridge.IPAddress.IsValid() || bridge.EndpointID != "" {
		t.Errorf("endpoint of a stopped container %+v", bridge)
	}
}
