package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gantry/internal/testkit"
	"gantry/internal/testkit/imagetar"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/client"
)

// serveRegistry starts Debian's docker-registry in the engine's namespaces and returns its address. more is further configuration, YAML.
func serveRegistry(d *testkit.Session, address string, more ...string) string {
	d.T.Helper()
	binary, err := exec.LookPath("docker-registry")
	if err != nil {
		d.T.Skip("the machine has no docker-registry")
	}
	dir := d.T.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp:\n  addr: %s\n%s",
		dir, address, strings.Join(more, ""))
	file := dir + ".yml"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		d.T.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", file)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := d.Namespaces().Start(cmd); err != nil {
		d.T.Fatal(err)
	}
	d.T.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed on purpose
		if d.T.Failed() {
			d.T.Logf("log of the registry:\n%s", log.String())
		}
		_ = os.Remove(file)
	})
	d.Eventually("the registry answers", func() bool {
		c, err := d.Namespaces().Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return address
}

func TestPushPullAndRun(t *testing.T) {
	t.Parallel()
	d := engine(t)
	reg := serveRegistry(d, "127.0.0.1:5001")
	local := d.LoadImage("push", func(c *dockerspec.DockerOCIImageConfig) { c.Cmd = []string{"cat", "/second"} },
		imagetar.Rootfs{"second": {Data: "from the registry"}})
	name := reg + "/team/app"
	d.Docker("tag", local, name+":v1")
	out := d.Docker("push", name+":v1")
	contains(t, "push", out, "The push refers to repository ["+name+"]", "Pushed", "v1: digest: sha256:")
	contains(t, "second push", d.Docker("push", name+":v1"), "Layer already exists")
	id := d.Docker("image", "inspect", "-f", "{{.Id}}", name+":v1")
	d.Docker("rmi", name+":v1", local)
	out = d.Docker("pull", name+":v1")
	contains(t, "pull", out, "v1: Pulling from team/app", "Digest: "+id, "Status: Downloaded newer image for "+name+":v1", name+":v1")
	equal(t, "ID", d.Docker("image", "inspect", "-f", "{{.Id}}", name+":v1"), id)
	equal(t, "output", d.Docker("run", "--rm", name+":v1"), "from the registry")
	out = d.Docker("pull", name+":v1")
	contains(t, "pull again", out, "Status: Image is up to date for "+name+":v1")
	d.Docker("rmi", name+":v1")
	contains(t, "pull by digest", d.Docker("pull", name+"@"+id), "Digest: "+id)
	equal(t, "digests", d.Docker("image", "inspect", "-f", "{{.RepoDigests}} {{.RepoTags}}", name+"@"+id), "["+name+"@"+id+"] []")
	d.Docker("rmi", name+"@"+id)
	d.Fails(1, []string{"manifest for " + name + ":nosuch not found: manifest unknown: manifest unknown"}, "pull", name+":nosuch")
	d.Fails(1, []string{"tag does not exist: " + name + ":nosuch"}, "push", name+":nosuch")
	d.Fails(1, []string{"connection refused"}, "pull", "127.0.0.1:1/x")
}

func TestPullOfAllTags(t *testing.T) {
	t.Parallel()
	d := engine(t)
	reg := serveRegistry(d, "127.0.0.1:5002")
	name := reg + "/all"
	for _, tag := range []string{"one", "two"} {
		local := d.LoadImage("all", func(c *dockerspec.DockerOCIImageConfig) { c.Env = append(c.Env, "TAG="+tag) })
		d.Docker("tag", local, name+":"+tag)
	}
	d.Docker("push", "-a", name)
	d.Docker("rmi", name+":one", name+":two")
	contains(t, "pull -a", d.Docker("pull", "-a", name), "one: Pulling from all", "two: Pulling from all")
	equal(t, "one", d.Docker("run", "--rm", name+":one", "sh", "-c", "echo $TAG"), "one")
	equal(t, "two", d.Docker("run", "--rm", name+":two", "sh", "-c", "echo $TAG"), "two")
	d.Docker("tag", name+":two", name+":one")
	contains(t, "tag moves back", d.Docker("pull", name+":one"), "Downloaded newer image")
	d.Docker("rmi", name+":one", name+":two")
	// The CLI asks the registry itself for manifests; the engine is asked for what its own client wants to know.
	tag := d.LoadImage("inspected", nil)
	d.Docker("tag", tag, name+":three")
	d.Docker("push", name+":three")
	r, err := d.Client().DistributionInspect(d.Context(), name+":three", client.DistributionInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "digest", r.Descriptor.Digest.String(), d.Docker("image", "inspect", "-f", "{{.Id}}", name+":three"))
	equal(t, "platforms", len(r.Platforms), 1)
	d.Docker("rmi", name+":three")
	cmd := d.Command(d.Context(), "manifest", "inspect", "--insecure", name+":three")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := d.Namespaces().Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("manifest inspect: %v: %s", err, out.String())
	}
	var m struct{ Layers []any }
	if err := json.Unmarshal([]byte(out.String()), &m); err != nil || len(m.Layers) != 1 {
		t.Errorf("manifest %s: %v", out.String(), err)
	}
}
