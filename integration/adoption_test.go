package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gantry/internal/testkit"
)

// classic makes a data root with dockerd, by what fill does, and returns the stopped engine.
func classic(t *testing.T, fill func(*testkit.Session)) *testkit.Engine {
	t.Helper()
	e := reference(t)
	fill(e.Session(t))
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	return e
}

// reference starts dockerd with busybox in it.
func reference(t *testing.T) *testkit.Engine {
	t.Helper()
	if os.Getenv(testkit.EngineEnv) == "dockerd" {
		t.Skip("the engine under test is dockerd")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		t.Skip("the machine has no dockerd (package docker.io)")
	}
	e := testkit.Start(t, testkit.Options{Engine: "dockerd", Unchecked: true})
	e.Session(t).LoadBusybox()
	return e
}

// adopting starts gantry on the data root of another engine.
func adopting(t *testing.T, e *testkit.Engine) *testkit.Session {
	t.Helper()
	return testkit.Start(t, testkit.Options{Engine: "gantryd", Args: []string{"--data-root=" + e.DataRoot()}}).Session(t)
}

func TestAClassicDataRootIsTakenOver(t *testing.T) {
	var id, layers, container string
	root := classic(t, func(s *testkit.Session) {
		container = s.Docker("run", "-d", "--name", "stopped", "-v", "/anon", "-v", "vol:/data", "--restart", "on-failure:2", "-e", "A=b",
			"busybox", "sh", "-c", "echo hi; echo x >> /made; rm -f /bin/ls; echo kept >> /data/file; echo anon >> /anon/file; cat /made /data/file /anon/file")
		s.Docker("wait", "stopped")
		s.Docker("commit", "-m", "changed", "stopped", "derived:1")
		s.Docker("tag", "busybox", "example.com/team/box:2")
		id = s.Docker("inspect", "-f", "{{.Id}}", "derived:1")
		layers = s.Docker("inspect", "-f", "{{.RootFS.Layers}}", "derived:1")
	})
	s := adopting(t, root)
	tags := s.Docker("images", "--format", "{{.Repository}}:{{.Tag}}")
	for _, name := range []string{"busybox:latest", "derived:1", "example.com/team/box:2"} {
		if !strings.Contains(tags, name) {
			t.Errorf("images are\n%s\nwithout %s", tags, name)
		}
	}
	if got := s.Docker("inspect", "-f", "{{.RootFS.Layers}}", "derived:1"); got != layers {
		t.Errorf("layers are %s, were %s", got, layers)
	}
	if a, b := s.Docker("image", "inspect", "-f", "{{.Id}}", id), s.Docker("image", "inspect", "-f", "{{.Id}}", "derived:1"); a != b {
		t.Errorf("the ID of before finds %s, the name %s", a, b)
	}
	if out := s.Docker("run", "--rm", "derived:1", "sh", "-c", "cat /made; test -e /bin/ls || echo gone"); out != "x\ngone" {
		t.Errorf("a container of an adopted image sees %q", out)
	}
	if got := s.Docker("logs", "stopped"); got != "hi\nx\nkept\nanon" {
		t.Errorf("logs are %q", got)
	}
	s.Docker("start", "-a", "stopped")
	if got := s.Docker("logs", "stopped"); got != "hi\nx\nkept\nanon\nhi\nx\nx\nkept\nkept\nanon\nanon" {
		t.Errorf("logs after a start are %q", got)
	}
	if got := s.Docker("inspect", "-f", "{{.Id}} {{.HostConfig.RestartPolicy.Name}} {{.Config.Env}}", "stopped"); !strings.HasPrefix(got, container+" on-failure [A=b") {
		t.Errorf("inspect says %s", got)
	}
	if got := s.Docker("diff", "stopped"); !strings.Contains(got, "D /bin/ls") || !strings.Contains(got, "A /made") {
		t.Errorf("diff says %s", got)
	}
	s.Docker("save", "-o", s.Path("saved.tar"), "derived:1")
	s.Docker("rm", "-v", "stopped")
	s.Docker("rmi", "derived:1", "example.com/team/box:2")
	s.Docker("load", "-i", s.Path("saved.tar"))
	if out := s.Docker("run", "--rm", "derived:1", "cat", "/made"); out != "x" {
		t.Errorf("a container of the saved and loaded image sees %q", out)
	}
	if _, err := os.Stat(filepath.Join(root.DataRoot(), "image")); err == nil {
		t.Error("the classic image store is still there")
	}
}

// dockerd with the containerd image store keeps a container's record without what gantry adds to it.
func TestARecordOfTheContainerdImageStoreIsTakenOver(t *testing.T) {
	s := testkit.Start(t, testkit.Options{Engine: "gantryd"}).Session(t)
	s.LoadBusybox()
	id := s.Docker("run", "-d", "--name", "theirs", "busybox", "sh", "-c", "echo begun; echo x >> /made; cat /made")
	s.Docker("wait", "theirs")
	size := s.Docker("ps", "-as", "--format", "{{.Size}}")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.DataRoot(), "containers", id, "config.v2.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil || all["Gantry"] == nil {
		t.Fatalf("%v in %s", err, data)
	}
	delete(all, "Gantry")
	if data, err = json.Marshal(all); err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err == nil {
		err = s.Launch()
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Docker("ps", "-as", "--format", "{{.Size}}"); got != size {
		t.Errorf("size is %s, was %s", got, size)
	}
	if got := s.Docker("start", "-a", "theirs"); got != "begun\nx\nx" {
		t.Errorf("it says %q", got)
	}
	s.Docker("rm", "theirs")
}

// Nothing of a data root is touched while dockerd, or what dockerd has left running, uses it; after a power failure
// it is taken over as it lies there.
func TestAClassicDataRootAfterAPowerFailure(t *testing.T) {
	e := reference(t)
	d := e.Session(t)
	d.Docker("run", "-d", "--name", "always", "--restart", "always", "--health-cmd", "true", "--health-interval", "100ms", "--log-driver", "local",
		"busybox", "sh", "-c", "echo begun; exec sleep 1000")
	d.Docker("run", "-d", "--name", "once", "busybox", "sleep", "1000")
	gantry := operatorsTool(t)
	refused := func(why string) {
		t.Helper()
		out, err := gantry("migrate", "--from", e.DataRoot())
		if err == nil || !strings.Contains(out, why) {
			t.Errorf("it is not refused with %q: %v\n%s", why, err, out)
		}
		if _, err := os.Stat(filepath.Join(e.DataRoot(), "adopted")); err == nil {
			t.Error("it has been touched")
		}
	}
	refused("is in use")
	if err := e.Kill9(); err != nil {
		t.Fatal(err)
	}
	refused("container once")  // which outlives dockerd
	_ = e.Namespaces().Close() // everything is killed
	if out, err := gantry("migrate", "--from", e.DataRoot(), "--dry-run"); err != nil || !strings.Contains(out, "container once") {
		t.Errorf("the dry run says %v\n%s", err, out)
	}
	if out, err := gantry("migrate", "--from", e.DataRoot()); err != nil || !strings.Contains(out, "Done.") {
		t.Fatalf("%v\n%s", err, out)
	}
	s := adopting(t, e)
	s.Eventually("the container with a restart policy runs, healthy", func() bool {
		return s.Docker("inspect", "-f", "{{.State.Status}} {{.State.Health.Status}}", "always") == "running healthy"
	})
	if got := s.Docker("logs", "always"); got != "begun\nbegun" {
		t.Errorf("logs are %q", got)
	}
	if got := s.Docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "once"); got != "exited 255" {
		t.Errorf("the container without a restart policy is %s", got)
	}
	s.Docker("rm", "-f", "always", "once")
}

// operatorsTool builds cmd/gantry and returns what runs it.
func operatorsTool(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gantry")
	if out, err := exec.Command("go", "build", "-o", path, "gantry/cmd/gantry").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return func(args ...string) (string, error) {
		out, err := exec.Command(path, args...).CombinedOutput()
		return string(out), err
	}
}

// registry runs Debian's docker-registry at 127.0.0.1:5000 in the namespaces of an engine.
func registry(s *testkit.Session, dir string) {
	s.T.Helper()
	if _, err := exec.LookPath("docker-registry"); err != nil {
		s.T.Skip("the machine has no docker-registry (package docker-registry)")
	}
	config := s.Path("registry.yml")
	text := "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: " + dir + "\nhttp:\n  addr: 127.0.0.1:5000\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.T.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", config)
	if err := s.Namespaces().Start(cmd); err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	s.Eventually("the registry answers", func() bool {
		conn, err := s.Namespaces().Dial("tcp", "127.0.0.1:5000")
		return err == nil && conn.Close() == nil
	})
}

func TestAPulledImageKeepsTheDigestOfItsRegistry(t *testing.T) {
	var digest, id string
	blobs := t.TempDir()
	root := classic(t, func(s *testkit.Session) {
		registry(s, blobs)
		s.Docker("tag", "busybox", "127.0.0.1:5000/box:1")
		s.Docker("push", "127.0.0.1:5000/box:1")
		s.Docker("rmi", "busybox", "127.0.0.1:5000/box:1")
		s.Docker("pull", "127.0.0.1:5000/box:1")
		digest = s.Docker("inspect", "-f", "{{index .RepoDigests 0}}", "127.0.0.1:5000/box:1")
		id = s.Docker("inspect", "-f", "{{.Id}}", "127.0.0.1:5000/box:1")
		s.Docker("create", "--name", "byid", id, "true")
	})
	s := adopting(t, root)
	if got := s.Docker("inspect", "-f", "{{.RepoDigests}}", "127.0.0.1:5000/box:1"); got != "["+digest+"]" {
		t.Errorf("digests are %s, were %s", got, digest)
	}
	for _, ref := range []string{digest, id, id[7:19]} {
		if got := s.Docker("run", "--rm", ref, "echo", "runs"); got != "runs" {
			t.Errorf("%s: %q", ref, got)
		}
	}
	if got := s.Docker("ps", "-aq", "--filter", "ancestor="+id); got == "" {
		t.Error("the container is not found by its image's old ID")
	}
	s.Docker("start", "-a", "byid")
	s.Docker("rm", "byid")
}
