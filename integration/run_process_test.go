package integration

import (
	"os"
	"path/filepath"
	"testing"

	"gantry/internal/testkit"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// A row runs one container and compares what it prints.
type row struct {
	name   string
	flags  []string
	script string
	want   string
}

func runRows(t *testing.T, rows []row) {
	t.Parallel()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			equal(t, "output", sh(engine(t), r.flags, r.script), r.want)
		})
	}
}

func TestRunFlagsThatShapeTheProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("# comment\nFROM_FILE=a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FROM_HOST", "host")
	d := engine(t)
	for _, r := range []row{
		{"env", []string{"-e", "A=1", "-e", "FROM_HOST", "--env-file", file}, "echo $A $FROM_HOST $FROM_FILE", "1 host a b"},
		{"env without value removes", []string{"-e", "PATH"}, "echo ${PATH:+set}", "set"},
		{"default environment", []string{"--hostname", "h"}, "echo $HOSTNAME $HOME; /bin/printenv PATH 2>/dev/null || echo $PATH",
			"h /root\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"home of the user", []string{"-u", "web"}, "echo $HOME", "/home/web"},
		{"home given", []string{"-u", "web", "-e", "HOME=/x"}, "echo $HOME", "/x"},
		{"no TERM without terminal", nil, "echo ${TERM:-none}", "none"},
		{"workdir is made", []string{"-w", "/srv/made"}, "pwd", "/srv/made"},
		{"user by name has its groups", []string{"-u", "web"}, "id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '", "1000\n1000\n29 50 1000 "},
		{"user by number", []string{"-u", "1000"}, "id -u; id -g", "1000\n1000"},
		{"user and group by number", []string{"-u", "1000:50"}, "id -u; id -g; id -G", "1000\n50\n50"},
		{"user and group by name", []string{"-u", "web:staff"}, "id -u; id -g", "1000\n50"},
		{"unknown number", []string{"-u", "4321"}, "id -u; id -g", "4321\n0"},
		{"group add", []string{"-u", "4321:4321", "--group-add", "29", "--group-add", "staff"},
			"id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '", "29 50 4321 "},
		{"hostname", []string{"--hostname", "web1"}, "hostname; cat /etc/hostname", "web1\nweb1"},
		{"domainname", []string{"--hostname", "web1", "--domainname", "example.org"},
			"cat /proc/sys/kernel/domainname; cat /etc/hostname; grep -c 'web1.example.org web1' /etc/hosts", "example.org\nweb1\n1"},
		{"ulimit", []string{"--ulimit", "nofile=1000:2000", "--ulimit", "core=0"}, "ulimit -Sn; ulimit -Hn; ulimit -c", "1000\n2000\n0"},
		{"oom score", []string{"--oom-score-adj", "500"}, "cat /proc/self/oom_score_adj", "500"},
		{"init", []string{"--init"}, "tr '\\0' ' ' </proc/1/cmdline | cut -c1-21", "/sbin/docker-init -- "},
		{"sysctl", []string{"--sysctl", "net.core.somaxconn=512", "--sysctl", "kernel.msgmax=9000"},
			"cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax", "512\n9000"},
		{"low ports and ping without capabilities", nil,
			"cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cut -f2 /proc/sys/net/ipv4/ping_group_range", "0\n2147483647"},
	} {
		t.Run(r.name, func(t *testing.T) {
			equal(t, "output", sh(d.With(t), r.flags, r.script), r.want)
		})
	}
}

func TestInitReapsOrphans(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "--init")
	d.Docker("exec", name, "sh", "-c", "(sleep 0.01 &) ; exit 0")
	d.Eventually("no zombie", func() bool {
		return d.Docker("exec", name, "sh", "-c", "grep -c '^State:.*zombie' /proc/[0-9]*/status | grep -vc ':0' || true") == "0"
	})
}

func TestUnknownUserIsRefused(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("nouser")
	d.Fails(125, []string{"unable to find user nosuch: no matching entries in passwd file"},
		"run", "--name", name, "-u", "nosuch", "busybox", "true")
	equal(t, "status", status(d, name), "created")
}

func TestEntrypointAndCommand(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("entry", func(c *dockerspec.DockerOCIImageConfig) {
		c.Entrypoint = []string{"echo", "entry"}
		c.Cmd = []string{"cmd"}
		c.Env = append(c.Env, "FROM=image")
		c.WorkingDir = "/var"
		c.User = "web"
		c.Labels = map[string]string{"of": "image", "both": "image"}
	})
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"image's", []string{image}, "entry cmd"},
		{"own command", []string{image, "a", "b"}, "entry a b"},
		{"own entrypoint drops the image's command", []string{"--entrypoint", "echo", image}, ""},
		{"own entrypoint and command", []string{"--entrypoint", "echo", image, "x"}, "x"},
		{"no entrypoint", []string{"--entrypoint", "", image, "echo", "y"}, "y"},
		{"environment, directory, user", []string{"--entrypoint", "sh", image, "-c", "echo $FROM $PWD $(id -un)"}, "image /var web"},
		{"environment overridden", []string{"-e", "FROM=run", "--entrypoint", "sh", image, "-c", "echo $FROM"}, "run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			equal(t, "output", d.With(t).Docker(append([]string{"run", "--rm"}, c.args...)...), c.want)
		})
	}
	t.Run("labels merge", func(t *testing.T) {
		d := d.With(t)
		name := d.Name("labels")
		d.Docker("create", "--name", name, "-l", "both=run", "-l", "own=1", image)
		labels := inspect(d, name).Config.Labels
		equal(t, "label of", labels["of"], "image")
		equal(t, "label both", labels["both"], "run")
		equal(t, "label own", labels["own"], "1")
	})
}

func TestStopSignalReachesTheProcess(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("stop")
	d.Docker("run", "-d", "--name", name, "--stop-signal", "USR1", "busybox", "sh", "-c", "trap 'echo usr1; exit 7' USR1; echo ready; sleep 1000 & wait")
	awaitLog(d, name, "ready")
	d.Docker("stop", name)
	equal(t, "exit code", inspect(d, name).State.ExitCode, 7)
	contains(t, "log", d.Docker("logs", name), "usr1")
}

func TestStopKillsAfterTimeout(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("stubborn")
	d.Docker("run", "-d", "--name", name, "--stop-timeout", "1", "busybox", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
	awaitLog(d, name, "ready")
	d.Docker("stop", name)
	equal(t, "exit code", inspect(d, name).State.ExitCode, 137)
}

// awaitLog waits until a container has logged a text.
func awaitLog(d *testkit.Session, name, text string) {
	d.T.Helper()
	d.Eventually("log of "+name+" has "+text, func() bool {
		r := d.CLI("logs", name)
		return len(r.Stdout+r.Stderr) > 0 && containsText(r.Stdout+r.Stderr, text)
	})
}
