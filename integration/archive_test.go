package integration

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

func TestCopyIntoAndOutOfAContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{"src/a": "a", "src/sub/b": "b", "single": "s"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	cat := func(path string) string { return d.Docker("exec", name, "cat", path) }
	d.Docker("cp", dir+"/src", name+":/made") // a directory that does not exist is made of it
	equal(t, "file", cat("/made/a")+cat("/made/sub/b"), "ab")
	d.Docker("cp", dir+"/src", name+":/made") // one that exists takes it in
	equal(t, "file", cat("/made/src/a"), "a")
	d.Docker("cp", dir+"/src/.", name+":/made/flat/../")
	d.Docker("cp", dir+"/single", name+":/etc/renamed")
	equal(t, "file", cat("/etc/renamed"), "s")
	equal(t, "owner and mode", d.Docker("exec", name, "stat", "-c", "%u:%g %a", "/etc/renamed"), "0:0 640")
	d.Fails(1, []string{"no such directory"}, "cp", dir+"/single", name+":/no/such/")
	d.Fails(1, []string{"Could not find the file /nosuch in container " + name}, "cp", name+":/nosuch", dir)

	d.Docker("exec", name, "sh", "-c", "mkdir -p /out/d; echo one >/out/f; ln -s f /out/link; echo two >/out/d/g")
	d.Docker("cp", name+":/out", dir)
	for file, want := range map[string]string{"out/f": "one\n", "out/d/g": "two\n"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", file, data, err)
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "out/link")); target != "f" {
		t.Errorf("link to %q, %v", target, err)
	}
	d.Docker("cp", "-L", name+":/out/link", dir+"/followed")
	if data, err := os.ReadFile(dir + "/followed"); string(data) != "one\n" {
		t.Errorf("followed link %q, %v", data, err)
	}
	r := d.CLI("cp", name+":/out/f", "-")
	names := tarNames(t, strings.NewReader(r.Stdout))
	equal(t, "entries on stdout", strings.Join(names, " "), "f")
}

// tarNames lists the entries of an archive.
func tarNames(t testing.TB, r io.Reader) []string {
	t.Helper()
	var names []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("read the archive: %v", err)
		}
		names = append(names, h.Name)
	}
}

func TestCopyWorksOnStoppedContainersAndVolumes(t *testing.T) {
	t.Parallel()
	d := engine(t)
	volume, name := volumeName(d), d.Name("stopped")
	d.Docker("create", "--name", name, "-v", volume+":/data", "busybox", "cat", "/data/f")
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("in the volume"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.Docker("cp", file, name+":/data/f")
	equal(t, "output", d.Docker("start", "-a", name), "in the volume")
	equal(t, "file", d.CLI("cp", name+":/data/f", "-").Code, 0)
}

func TestCopyStaysInTheContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("exec", name, "sh", "-c", "mkdir /in; ln -s / /in/root; ln -s ../../../../../../../../../etc /in/up; ln -s /proc/1/root /in/proc")
	secret := d.Path("secret-" + name)
	if err := os.WriteFile(secret, []byte("host"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/in/root" + secret, "/in/up/../" + secret, "/in/proc" + secret, "/../../../.." + secret} {
		if r := d.CLI("cp", name+":"+path, "-"); r.Code == 0 {
			t.Errorf("copying %s reads the host", path)
		}
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range []tar.Header{
		{Name: "../../../../../../../../../../../.." + secret, Typeflag: tar.TypeReg, Size: 3, Mode: 0o644},
	} {
		if err := errors.Join(w.WriteHeader(&h)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("bad")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = d.Client().CopyToContainer(d.Context(), name, client.CopyToContainerOptions{DestinationPath: "/in", Content: &archive})
	if data, err := os.ReadFile(secret); string(data) != "host" {
		t.Errorf("the host's file is %q, %v", data, err)
	}
}

func TestCopyToAReadOnlyContainerIsRefused(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "--read-only")
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d.Fails(1, []string{"container rootfs is marked read-only"}, "cp", file, name+":/f")
}

func TestStatOfAPath(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	s, err := d.Client().ContainerStatPath(d.Context(), name, client.ContainerStatPathOptions{Path: "/etc/passwd"})
	if err != nil || s.Stat.Name != "passwd" || s.Stat.Size == 0 || !s.Stat.Mode.IsRegular() {
		t.Errorf("stat %+v, %v", s, err)
	}
	_, err = d.Client().ContainerStatPath(d.Context(), name, client.ContainerStatPathOptions{Path: "/nosuch"})
	if !errdefs.IsNotFound(err) {
		t.Errorf("stat of a missing path: %v", err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("exec", name, "sh", "-c", "echo x >/etc/added; echo y >>/etc/passwd; rm /etc/group; mkdir -p /new/dir")
	got := strings.Split(d.Docker("diff", name), "\n")
	slices.Sort(got)
	equal(t, "changes", strings.Join(got, ","), "A /etc/added,A /new,A /new/dir,C /etc,C /etc/passwd,D /etc/group")
}

func TestExport(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("export")
	d.Docker("run", "--name", name, "-v", "/volume", "busybox", "sh", "-c", "echo x >/added; echo y >/volume/y; rm /etc/group")
	file := filepath.Join(t.TempDir(), "rootfs.tar")
	d.Docker("export", "-o", file, name)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names := tarNames(t, f)
	for name, want := range map[string]bool{"added": true, "etc/passwd": true, "etc/group": false, "volume/y": false, "bin/busybox": true} {
		equal(t, name+" is exported", slices.Contains(names, name), want)
	}
	image := d.Image("imported")
	d.Docker("import", "--change", "CMD [\"cat\",\"/added\"]", "--change", "ENV A=1", "-m", "a message", file, image)
	equal(t, "output of the imported image", d.Docker("run", "--rm", image), "x")
	contains(t, "history", d.Docker("history", "--format", "{{.Comment}}", image), "a message")
}

func TestCommit(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("commit")
	d.Docker("run", "--name", name, "-e", "A=1", "-l", "l=1", "busybox", "sh", "-c", "echo committed >/file; rm /etc/group")
	image := d.Image("committed")
	id := d.Docker("commit", "-a", "An Author", "-m", "why", "-c", "CMD [\"cat\",\"/file\"]", "-c", "EXPOSE 80", "-c", "USER web", name, image)
	equal(t, "ID", strings.HasPrefix(id, "sha256:"), true)
	equal(t, "output", d.Docker("run", "--rm", image), "committed")
	equal(t, "removed file", d.CLI("run", "--rm", image, "test", "-e", "/etc/group").Code, 1)
	equal(t, "user", d.Docker("run", "--rm", image, "id", "-u"), "1000")
	r, err := d.Client().ImageInspect(d.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "author", r.Author, "An Author")
	equal(t, "comment", r.Comment, "why")
	equal(t, "layers", len(r.RootFS.Layers), 2)
	equal(t, "environment", slices.Contains(r.Config.Env, "A=1"), true)
	equal(t, "label", r.Config.Labels["l"], "1")
	d.Fails(1, []string{"nosuch is not a valid change command"}, "commit", "-c", "nosuch x", name)
	d.Fails(1, []string{"No such container: nosuch"}, "commit", "nosuch")
}

func TestCommitPausesTheContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	image := d.Image("live")
	ctx := d.Context()
	seen := d.Client().Events(ctx, client.EventsListOptions{Filters: client.Filters{}.Add("container", name)})
	d.Docker("commit", name, image)
	var actions []string
	for len(actions) < 3 {
		select {
		case m := <-seen.Messages:
			actions = append(actions, string(m.Action))
		case err := <-seen.Err:
			t.Fatal(err)
		}
	}
	contains(t, "events", strings.Join(actions, " "), "pause", "unpause", "commit")
	equal(t, "status", status(d, name), "running")
}
