package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

func TestVolumeLife(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := volumeName(d)
	equal(t, "created", d.Docker("volume", "create", "--label", "a=b", name), name)
	equal(t, "created again", d.Docker("volume", "create", name), name)
	r, err := d.Client().VolumeInspect(d.Context(), name, client.VolumeInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v := r.Volume
	equal(t, "driver", v.Driver, "local")
	equal(t, "scope", v.Scope, "local")
	equal(t, "mount point", v.Mountpoint, filepath.Join(d.DataRoot(), "volumes", name, "_data"))
	equal(t, "label", v.Labels["a"], "b")
	if v.CreatedAt == "" {
		t.Error("no creation time")
	}
	user := up(d, "-v", name+":/data")
	d.Fails(1, []string{"volume is in use - [" + inspect(d, user).ID + "]"}, "volume", "rm", name)
	d.Docker("rm", "-f", user)
	equal(t, "removed", d.Docker("volume", "rm", name), name)
	if _, err := os.Stat(filepath.Join(d.DataRoot(), "volumes", name)); err == nil {
		t.Error("the directory is still there")
	}
	d.Fails(1, []string{"no such volume"}, "volume", "rm", name)
	_, err = d.Client().VolumeInspect(d.Context(), name, client.VolumeInspectOptions{})
	if !errdefs.IsNotFound(err) {
		t.Errorf("inspect of a missing volume: %v", err)
	}
}

func TestVolumeListFilters(t *testing.T) {
	t.Parallel()
	d := engine(t)
	a, b := volumeName(d), volumeName(d)
	d.Docker("volume", "create", "--label", "mark="+a, a)
	d.Docker("volume", "create", "--label", "mark="+a, b)
	user := d.Name("user")
	d.Docker("create", "--name", user, "-v", a+":/x", "busybox")
	list := func(filters ...string) string {
		args := []string{"volume", "ls", "-q", "--filter", "label=mark=" + a}
		for _, f := range filters {
			args = append(args, "--filter", f)
		}
		return strings.Join(strings.Fields(d.Docker(args...)), " ")
	}
	equal(t, "by name", list("name="+b), b)
	equal(t, "dangling", list("dangling=true"), b)
	equal(t, "not dangling", list("dangling=false"), a)
	equal(t, "driver", len(strings.Fields(list("driver=local"))), 2)
	equal(t, "other driver", list("driver=nosuch"), "")
	d.Fails(1, []string{"nvalid filter"}, "volume", "ls", "--filter", "nosuch=1")
}

func TestVolumePrune(t *testing.T) {
	t.Parallel()
	d := engine(t)
	a := volumeName(d)
	d.Docker("volume", "create", "--label", "mark="+a, a)
	if d.Reference() {
		contains(t, "output", d.Docker("volume", "prune", "-f", "--filter", "label=mark="+a), "Deleted Volumes:\n"+a, "Total reclaimed space:")
		return // Docker 23 keeps named volumes unless told
	}
	contains(t, "output", d.Docker("volume", "prune", "-f", "-a", "--filter", "label=mark="+a), "Deleted Volumes:\n"+a, "Total reclaimed space:")
	b := volumeName(d)
	d.Docker("volume", "create", "--label", "mark="+b, b)
	d.Docker("volume", "prune", "-f", "--filter", "label=mark="+b)
	equal(t, "a named one is kept without -a", d.Docker("volume", "ls", "-q", "--filter", "name="+b), b)
}

func TestVolumeDriverOptions(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := volumeName(d)
	d.Docker("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,uid=1000", name)
	equal(t, "mount", sh(d, []string{"-v", name + ":/t"}, "grep ' /t ' /proc/mounts | cut -d' ' -f3; stat -c %u /t"), "tmpfs\n1000")
	d.Fails(1, []string{`invalid option: "nosuch"`}, "volume", "create", "--opt", "nosuch=1", name+"x")
	d.Fails(1, []string{"includes invalid characters for a local volume name"}, "volume", "create", "bad name")
	d.Fails(1, []string{"nosuch"}, "volume", "create", "-d", "nosuch", name+"y")
}

func TestBindVolumeByOptions(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := volumeName(d)
	dir := d.Path("bindvol-" + name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/f", []byte("bound"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.Docker("volume", "create", "--opt", "type=none", "--opt", "device="+dir, "--opt", "o=bind", name)
	equal(t, "file", sh(d, []string{"-v", name + ":/b"}, "cat /b/f"), "bound")
}
