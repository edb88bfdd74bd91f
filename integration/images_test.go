package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/internal/testkit/imagetar"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/client"
)

func TestLoadTagAndRemove(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("load", func(c *dockerspec.DockerOCIImageConfig) { c.Labels = map[string]string{"own": d.Name("l")} })
	other := d.Image("other")
	id := d.Docker("image", "inspect", "-f", "{{.Id}}", image)
	d.Docker("tag", image, other+":v1")
	d.Docker("tag", id, other)
	equal(t, "ID", d.Docker("image", "inspect", "-f", "{{.Id}}", other+":v1"), id)
	equal(t, "by a prefix", d.Docker("image", "inspect", "-f", "{{.Id}}", strings.TrimPrefix(id, "sha256:")[:12]), id)
	d.Fails(1, []string{"image is referenced in multiple repositories"}, "rmi", id)
	equal(t, "untagged", d.Docker("rmi", other+":v1"), "Untagged: "+other+":v1")
	d.Docker("rmi", other)
	contains(t, "the last tag", d.Docker("rmi", image), "Untagged: "+image+":latest", "Deleted: "+id)
	d.Fails(1, []string{"No such image: " + image}, "rmi", image)
	d.Fails(1, []string{"No such image: nosuch"}, "tag", "nosuch", "x")
	d.Fails(1, []string{"nvalid reference format"}, "tag", "busybox", "Bad Name")
}

func TestImageList(t *testing.T) {
	t.Parallel()
	d := engine(t)
	label := d.Name("label")
	image := d.LoadImage("list", func(c *dockerspec.DockerOCIImageConfig) { c.Labels = map[string]string{"mark": label} })
	names := func(filters ...string) string {
		args := []string{"images", "--format", "{{.Repository}}:{{.Tag}}"}
		for _, f := range filters {
			args = append(args, "--filter", f)
		}
		return d.Docker(args...)
	}
	equal(t, "by label", names("label=mark="+label), image+":latest")
	equal(t, "by reference", names("reference="+image), image+":latest")
	equal(t, "by pattern", names("reference="+image+":lat*"), image+":latest")
	contains(t, "before", names("before="+image), "")
	equal(t, "dangling", names("dangling=true", "label=mark="+label), "")
	d.Fails(1, []string{"nvalid filter"}, "images", "--filter", "nosuch=1")
	r, err := d.Client().ImageList(d.Context(), client.ImageListOptions{Filters: client.Filters{}.Add("reference", image)})
	if err != nil || len(r.Items) != 1 {
		t.Fatalf("list %v, %v", r, err)
	}
	if i := r.Items[0]; i.Size < 500000 || i.Created == 0 || i.Labels["mark"] != label || len(i.RepoTags) != 1 {
		t.Errorf("item %+v", i)
	}
}

func TestImageInspectAndHistory(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("inspect", func(c *dockerspec.DockerOCIImageConfig) {
		c.Env = append(c.Env, "A=1")
		c.ExposedPorts = map[string]struct{}{"80/tcp": {}}
		c.WorkingDir = "/var"
	}, imagetar.Rootfs{"second": {Data: "layer"}})
	r, err := d.Client().ImageInspect(d.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "OS", r.Os, "linux")
	equal(t, "architecture", r.Architecture, "amd64")
	equal(t, "tags", strings.Join(r.RepoTags, " "), image+":latest")
	equal(t, "layers", len(r.RootFS.Layers), 2)
	equal(t, "directory", r.Config.WorkingDir, "/var")
	equal(t, "port is exposed", len(r.Config.ExposedPorts), 1)
	equal(t, "created", r.Created, "2024-01-02T03:04:05Z")
	if r.Size < 500000 {
		t.Errorf("size %d", r.Size)
	}
	equal(t, "history", d.Docker("history", "--format", "{{.CreatedBy}}|{{.CreatedAt}}", "--human=false", image),
		"layer 1|2024-01-02T03:04:05Z\nlayer 0|2024-01-02T03:04:05Z")
	_, err = d.Client().ImageInspect(d.Context(), "nosuch")
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "No such image: nosuch:latest") {
		t.Errorf("inspect of a missing image: %v", err)
	}
}

func TestSaveAndLoadAgain(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("save", func(c *dockerspec.DockerOCIImageConfig) { c.Cmd = []string{"cat", "/saved"} }, imagetar.Rootfs{"saved": {Data: "content"}})
	second := d.Image("second")
	d.Docker("tag", image, second)
	id := d.Docker("image", "inspect", "-f", "{{.Id}}", image)
	file := filepath.Join(t.TempDir(), "image.tar")
	d.Docker("save", "-o", file, image, second)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Join(tarNames(t, f), " ")
	_ = f.Close()
	contains(t, "entries", names, "manifest.json")
	d.Docker("rmi", image, second)
	out := d.Docker("load", "-i", file)
	contains(t, "output", out, "Loaded image: "+image+":latest", "Loaded image: "+second+":latest")
	equal(t, "ID", d.Docker("image", "inspect", "-f", "{{.Id}}", image), id)
	equal(t, "output", d.Docker("run", "--rm", image), "content")
	d.Fails(1, []string{"nosuch"}, "save", "-o", filepath.Join(t.TempDir(), "x"), "nosuch")
}

func TestBadArchivesAreRefused(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, content := range []string{"this is no archive", strings.Repeat("\x00", 2048), ""} {
		r := d.CLIInput(strings.NewReader(content), "load")
		if r.Code == 0 && !strings.Contains(r.Stdout+r.Stderr, "rror") && content != "" {
			t.Errorf("load of %q: %+v", content[:min(len(content), 20)], r)
		}
	}
	equal(t, "ping", d.CLI("version").Code, 0)
}

func TestImagesInUseAreKept(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("used", func(c *dockerspec.DockerOCIImageConfig) { c.Env = append(c.Env, "N="+d.Name("n")) })
	name := d.Name("user")
	d.Docker("run", "-d", "--name", name, image, "sleep", "1000")
	id := inspect(d, name).ID
	// Docker 29 with the containerd store says "unable to delete" and "must be forced", 20.10 the other.
	conflict := []string{"conflict: unable to delete " + image, "(must be forced) - container " + id[:12] + " is using its referenced image"}
	if d.Reference() {
		conflict = []string{"conflict: unable to remove repository reference", "(must force) - container " + id[:12] + " is using its referenced image"}
	}
	d.Fails(1, conflict, "rmi", image)
	d.Docker("kill", name)
	wait(d, name)
	d.Fails(1, []string{"conflict: unable to", id[:12]}, "rmi", image)
	d.Docker("rm", name)
	contains(t, "output", d.Docker("rmi", image), "Deleted: sha256:")
}

func TestImportFromStdin(t *testing.T) {
	t.Parallel()
	d := engine(t)
	layer, err := imagetar.Layer(imagetar.Rootfs{"f": {Data: "imported"}})
	if err != nil {
		t.Fatal(err)
	}
	image := d.Image("stdin")
	r := d.CLIInput(strings.NewReader(string(layer)), "import", "-", image+":latest")
	equal(t, "exit code", r.Code, 0)
	equal(t, "ID", strings.HasPrefix(strings.TrimSpace(r.Stdout), "sha256:"), true)
	name := d.Name("c")
	d.Docker("create", "--name", name, image, "/f")
	r = d.CLI("cp", name+":/f", "-")
	equal(t, "entries", strings.Join(tarNames(t, strings.NewReader(r.Stdout)), " "), "f")
}

func TestImagePrune(t *testing.T) {
	t.Parallel()
	d := engine(t)
	label := d.Name("label")
	image := d.LoadImage("prune", func(c *dockerspec.DockerOCIImageConfig) { c.Labels = map[string]string{"mark": label} })
	other := d.LoadImage("kept", func(c *dockerspec.DockerOCIImageConfig) { c.Labels = map[string]string{"mark": label + "x"} })
	d.Docker("image", "prune", "-f", "--filter", "label=mark="+label)
	equal(t, "tagged ones are kept", d.CLI("image", "inspect", image).Code, 0)
	out := d.Docker("image", "prune", "-a", "-f", "--filter", "label=mark="+label)
	contains(t, "output", out, "Deleted Images:", "untagged: "+image+":latest", "Total reclaimed space:")
	equal(t, "the other one", d.CLI("image", "inspect", other).Code, 0)
}

func TestContainersKnowTheirImageByName(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("named", nil)
	name := d.Name("c")
	d.Docker("create", "--name", name, image)
	var c []struct{ Image, Config any }
	if err := json.Unmarshal([]byte(d.Docker("inspect", name)), &c); err != nil {
		t.Fatal(err)
	}
	equal(t, "image", d.Docker("ps", "-a", "--filter", "name="+name, "--format", "{{.Image}}"), image)
}
