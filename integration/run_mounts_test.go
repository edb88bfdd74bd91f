package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/internal/testkit/imagetar"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/client"
)

func TestRunFlagsThatMount(t *testing.T) {
	d := engine(t)
	dir := d.Path("bind-" + d.Name("m"))
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, r := range []row{
		{"bind", []string{"-v", dir + ":/data"}, "cat /data/f; echo made >/data/made", "host"},
		{"bind shows in the host", []string{"-v", dir + ":/data"}, "cat /data/made", "made"},
		{"bind read-only", []string{"-v", dir + ":/data:ro"}, "touch /data/x 2>&1 | sed 's/.*: //'", "Read-only file system"},
		{"bind of a file", []string{"-v", dir + "/f:/etc/f"}, "cat /etc/f", "host"},
		{"mount bind", []string{"--mount", "type=bind,src=" + dir + ",dst=/data,readonly"}, "cat /data/f; touch /data/x 2>/dev/null || echo ro", "host\nro"},
		{"mount tmpfs", []string{"--mount", "type=tmpfs,dst=/scratch,tmpfs-size=1048576,tmpfs-mode=700"},
			"grep ' /scratch ' /proc/mounts | grep -o 'size=1024k'; stat -c %a /scratch", "size=1024k\n700"},
		{"tmpfs", []string{"--tmpfs", "/scratch:size=1m,mode=711"},
			"grep ' /scratch ' /proc/mounts | grep -o 'noexec\\|size=1024k'; stat -c %a /scratch", "noexec\nsize=1024k\n711"},
		{"read-only root", []string{"--read-only", "--tmpfs", "/tmp"}, "touch /x 2>&1 | sed 's/.*: //'; touch /tmp/x && echo ok", "Read-only file system\nok"},
		{"read-only root makes the network files read-only", []string{"--read-only"}, "(echo 10.0.0.1 x >>/etc/hosts) 2>/dev/null || echo ro", "ro"},
		{"longest destination last", []string{"-v", dir + "/sub:/a/b", "--tmpfs", "/a"}, "grep -c ' /a/b ' /proc/mounts", "1"},
	} {
		t.Run(r.name, func(t *testing.T) {
			equal(t, "output", sh(d.With(t), r.flags, r.script), r.want)
		})
	}
}

func TestMissingBindSource(t *testing.T) {
	t.Parallel()
	d := engine(t)
	missing := d.Path("missing-" + d.Name("m"))
	d.Fails(125, []string{`invalid mount config for type "bind": bind source path does not exist: ` + missing},
		"run", "--rm", "--mount", "type=bind,src="+missing+",dst=/data", "busybox", "true")
	if _, err := os.Stat(missing); err == nil {
		t.Error("--mount has made the missing source")
	}
	d.Docker("run", "--rm", "-v", missing+":/data", "busybox", "true")
	if info, err := os.Stat(missing); err != nil || !info.IsDir() {
		t.Errorf("-v has not made the missing source: %v", err)
	}
}

func TestBadMountsAreRefused(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, c := range []struct {
		text string
		args []string
	}{
		{`invalid volume specification: '/tmp:relative'`, []string{"-v", "/tmp:relative"}},
		{"destination can't be '/'", []string{"-v", "/tmp:/"}},
		{"Duplicate mount point: /data", []string{"-v", "/tmp:/data", "-v", "/var:/data"}},
		{`invalid mode: nosuch`, []string{"-v", "/tmp:/data:nosuch"}},
		{"includes invalid characters for a local volume name", []string{"-v", "a b:/data"}},
		{"mount path must be absolute", []string{"--tmpfs", "relative"}},
	} {
		r := d.CLI(append(append([]string{"run", "--rm"}, c.args...), "busybox", "true")...)
		equal(t, c.text+": exit code", r.Code, 125)
		contains(t, "stderr", r.Stderr, c.text)
	}
}

func TestNamedVolumeKeepsItsContent(t *testing.T) {
	t.Parallel()
	d := engine(t)
	volume := volumeName(d)
	sh(d, []string{"-v", volume + ":/data"}, "echo kept >/data/f")
	equal(t, "content", sh(d, []string{"--mount", "type=volume,src=" + volume + ",dst=/data,readonly"}, "cat /data/f"), "kept")
	data, err := os.ReadFile(filepath.Join(d.DataRoot(), "volumes", volume, "_data", "f"))
	equal(t, "file in the data root", string(data), "kept\n")
	if err != nil {
		t.Error(err)
	}
}

func TestVolumeOfTheImageIsFilledFromIt(t *testing.T) {
	t.Parallel()
	d := engine(t)
	image := d.LoadImage("withvolume", func(c *dockerspec.DockerOCIImageConfig) {
		c.Volumes = map[string]struct{}{"/srv/data": {}}
	}, imagetar.Rootfs{"srv/data/f": {Data: "from the image\n", UID: 1000, GID: 50, Mode: 0o640}, "srv/data/sub/g": {Data: "g"}})
	name := d.Name("filled")
	d.Docker("run", "-d", "--name", name, image, "sh", "-c", "cat /srv/data/f; stat -c '%u %g %a' /srv/data/f; cat /srv/data/sub/g; echo; echo end; sleep 100")
	awaitLog(d, name, "end")
	equal(t, "output", d.Docker("logs", name), "from the image\n1000 50 640\ng\nend")
	mounts := inspect(d, name).Mounts
	if len(mounts) != 1 || len(mounts[0].Name) != 64 || mounts[0].Destination != "/srv/data" || !mounts[0].RW {
		t.Fatalf("mounts %+v", mounts)
	}
	anonymous := mounts[0].Name
	t.Run("volumes-from", func(t *testing.T) {
		equal(t, "file", d.With(t).Docker("run", "--rm", "--volumes-from", name+":ro", "busybox", "sh", "-c",
			"cat /srv/data/f; touch /srv/data/x 2>/dev/null || echo ro"), "from the image\nro")
	})
	d.Docker("rm", "-f", "-v", name)
	if _, err := d.Client().VolumeInspect(d.Context(), anonymous, client.VolumeInspectOptions{}); err == nil {
		t.Error("rm -v has left the anonymous volume")
	}
}

func TestVolumeIsNotFilledWithNocopy(t *testing.T) {
	t.Parallel()
	d := engine(t)
	volume := volumeName(d)
	equal(t, "entries", sh(d, []string{"-v", volume + ":/bin/../etc:nocopy"}, "ls /etc | grep -c passwd || true"), "0")
}

func TestRmRemovesAnonymousVolumesButNotNamedOnes(t *testing.T) {
	t.Parallel()
	d := engine(t)
	volume := volumeName(d)
	name := d.Name("rm")
	d.Docker("create", "--name", name, "-v", volume+":/named", "-v", "/anonymous", "busybox", "true")
	var anonymous string
	for _, m := range inspect(d, name).Mounts {
		if m.Name != volume {
			anonymous = m.Name
		}
	}
	d.Docker("run", "--rm", "--volumes-from", name, "busybox", "true") // holds them, and lets go
	d.Docker("rm", "-v", name)
	all := strings.Fields(d.Docker("volume", "ls", "-q"))
	equal(t, "the named one is there", containsWord(all, volume), true)
	equal(t, "the anonymous one is there", containsWord(all, anonymous), false)
}

func TestMountPropagation(t *testing.T) {
	t.Parallel()
	d := engine(t)
	dir := d.Path("prop-" + d.Name("m"))
	if err := os.MkdirAll(filepath.Join(dir, "later"), 0o755); err != nil {
		t.Fatal(err)
	}
	const text = "but it is not a shared"
	d.Fails(125, []string{"is mounted on", text}, "run", "--rm", "--mount", "type=bind,src="+dir+",dst=/data,bind-propagation=rshared", "busybox", "true")
	d.Fails(125, []string{"is mounted on", text}, "run", "--rm", "--mount", "type=bind,src="+dir+",dst=/data,bind-propagation=rslave", "busybox", "true")
	for _, args := range [][]string{{"--bind", dir, dir}, {"--make-shared", dir}} {
		if out, err := d.Namespaces().Run("mount", args...); err != nil {
			t.Fatalf("mount %v: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := d.Namespaces().Run("umount", "-R", dir); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	name := up(d, "--mount", "type=bind,src="+dir+",dst=/data,bind-propagation=rslave")
	m := inspect(d, name).Mounts
	if len(m) != 1 || string(m[0].Propagation) != "rslave" || string(m[0].Type) != "bind" {
		t.Errorf("mounts %+v", m)
	}
	if out, err := d.Namespaces().Run("mount", "-t", "tmpfs", "tmpfs", dir+"/later"); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	equal(t, "a later mount of the host", d.Docker("exec", name, "grep", "-c", " /data/later ", "/proc/mounts"), "1")
	d.Docker("rm", "-f", name)
}

// TestMountImage mounts an image's tree, which stays what it is and is kept while a container has it.
func TestMountImage(t *testing.T) {
	t.Parallel()
	d := engine(t)
	if d.Reference() {
		t.Skip("dockerd 20.10 has no mounts of images")
	}
	image := d.LoadImage("data", nil, imagetar.Rootfs{"model/weights": {Data: "42\n"}})
	name := d.Name("with")
	d.Docker("run", "-d", "--name", name, "--mount", "type=image,src="+image+",dst=/data",
		"--mount", "type=image,src="+image+",dst=/part,image-subpath=model", "busybox", "sleep", "1000")
	equal(t, "file", d.Docker("exec", name, "cat", "/data/model/weights"), "42")
	equal(t, "file below the subpath", d.Docker("exec", name, "cat", "/part/weights"), "42")
	d.Fails(1, []string{"Read-only file system"}, "exec", name, "touch", "/data/x")
	d.Fails(1, []string{"conflict"}, "rmi", image)
	d.Docker("restart", "-t", "0", name)
	equal(t, "file after a restart", d.Docker("exec", name, "cat", "/data/model/weights"), "42")
	d.Docker("rm", "-f", name)
	d.Docker("rmi", image)
	d.Fails(125, []string{"No such image: missing-image:latest"}, "run", "--rm", "--mount", "type=image,src=missing-image,dst=/data", "busybox", "true")
	d.Fails(125, []string{"subpath must be a relative path within the image"},
		"run", "--rm", "--mount", "type=image,src=busybox,dst=/data,image-subpath=../x", "busybox", "true")
}

// TestVolumeSubpath: what the path leads to is settled once, and does not lead out of the volume.
func TestVolumeSubpath(t *testing.T) {
	t.Parallel()
	d := engine(t)
	if d.Reference() {
		t.Skip("dockerd 20.10 has no subpaths of volumes")
	}
	volume := d.Name("v")
	d.Docker("run", "--rm", "-v", volume+":/v", "busybox", "sh", "-c", "mkdir /v/sub; echo in >/v/sub/f; echo file >/v/one; ln -s /etc /v/out; ln -s sub /v/alias")
	t.Cleanup(func() { d.CLI("volume", "rm", "-f", volume) })
	at := func(sub string) string { return "type=volume,src=" + volume + ",dst=/part,volume-subpath=" + sub }
	equal(t, "directory", d.Docker("run", "--rm", "--mount", at("sub"), "busybox", "cat", "/part/f"), "in")
	equal(t, "link inside", d.Docker("run", "--rm", "--mount", at("alias"), "busybox", "cat", "/part/f"), "in")
	equal(t, "file", d.Docker("run", "--rm", "--mount", at("one"), "busybox", "cat", "/part"), "file")
	d.Docker("run", "--rm", "--mount", at("sub"), "busybox", "touch", "/part/written")
	equal(t, "written", d.Docker("run", "--rm", "-v", volume+":/v", "busybox", "ls", "/v/sub"), "f\nwritten")
	d.Fails(127, []string{"cannot access path missing in volume " + volume}, "run", "--rm", "--mount", at("missing"), "busybox", "true")
	equal(t, "link out is the volume's own", d.CLI("run", "--rm", "--mount", at("out"), "busybox", "cat", "/part/passwd").Stdout, "")
}
