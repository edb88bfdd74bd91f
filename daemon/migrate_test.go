package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gantry/config"
	"gantry/container/record"
	"gantry/image"
	"gantry/internal/fault"
	"gantry/storage"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// migrateRoot names the data root that a process takes over which is to be killed, migrateTo where to.
const (
	migrateRoot = "GANTRY_TEST_MIGRATE_ROOT"
	migrateTo   = "GANTRY_TEST_MIGRATE_TO"
	migrateCopy = "GANTRY_TEST_MIGRATE_COPY"
)

// migrateChild is the process.
func migrateChild(root string) int {
	err := Migrate(context.Background(), MigrateOptions{
		From: root, To: os.Getenv(migrateTo), Copy: os.Getenv(migrateCopy) != "", Out: io.Discard, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// What Debian's dockerd 20.10 wrote. The image "small" has two layers: with a hard link, and with a whiteout; it was pushed to
// a registry at 127.0.0.1:5000. The container "golden" was created of it and never started, the file /made was copied to
// it, and it was committed twice, once without a name.
const (
	goldenRoot      = "testdata/docker-20.10.tar.gz"
	goldenContainer = "17761cd1f4ec888effd77875a21ffecf59bec10cec5b84d141acdd1c5a72aa7e"
	goldenImage     = "sha256:e8b5e75fec4c97b4f6988a140fd2cdbbcb67d7ffe88aafb759cdcf4507855cd7"
	goldenDangling  = "sha256:d755a0a80d5bfcef6782d04cd5131842e374a6515bdb31375e616ee084b84ce9"
	goldenDigest    = "127.0.0.1:5000/small@sha256:52a3349e9ecb98f8760ebd02773f189f9b1755bc2b6e8b33cf061a4598974fda"
)

func golden(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: no devices can be made")
	}
	// On the file system of the tests' other data roots: overlayfs takes no upper directory on itself or on tmpfs.
	dir, err := os.MkdirTemp("/var/tmp", "gantry-golden-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	root := filepath.Join(dir, "docker")
	must(t, os.Mkdir(root, 0o710))
	out, err := exec.Command("tar", "--xattrs", "--xattrs-include=*", "-xzf", goldenRoot, "-C", root).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return root
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// listing is every path with its type, size and link target, except the lock that looking makes.
func listing(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintf(&b, "%s %v %d %v\n", path, info.Mode(), info.Size(), info.ModTime())
		return err
	}))
	return b.String()
}

func migrateIn(t *testing.T, from, to string, change ...func(*MigrateOptions)) (string, error) {
	t.Helper()
	var out bytes.Buffer
	o := MigrateOptions{From: from, To: to, Out: &out, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	err := Migrate(t.Context(), o)
	return out.String(), err
}

// checkAdopted looks at everything that the golden root had.
func checkAdopted(t *testing.T, root string) {
	t.Helper()
	st, err := storage.Open(t.Context(), storage.Config{Root: root})
	must(t, err)
	defer func() { must(t, st.Close(context.Background())) }()
	images, err := image.Open(t.Context(), image.Config{Storage: st})
	must(t, err, st.Collect(t.Context()))
	var small *image.Image
	for _, ref := range []string{"small", "127.0.0.1:5000/small:1", goldenDigest, goldenImage, goldenImage[7:19], goldenImage[7:]} {
		found, err := images.Resolve(t.Context(), ref, nil)
		must(t, err)
		if small != nil && found.ID != small.ID {
			t.Errorf("%s is %s, not %s", ref, found.ID, small.ID)
		}
		small = found
	}
	for _, ref := range []string{"committed:1", goldenDangling, small.ID} {
		_, err := images.Resolve(t.Context(), ref, nil)
		must(t, err)
	}
	i, err := images.Inspect(t.Context(), "small", image.InspectOptions{})
	must(t, err)
	want := []string{goldenDigest, "small@" + small.ID}
	if !slices.Equal(i.RepoDigests, want) || !slices.Equal(i.RepoTags, []string{"127.0.0.1:5000/small:1", "small:latest"}) {
		t.Errorf("tags %v, digests %v, want %v", i.RepoTags, i.RepoDigests, want)
	}
	for _, layer := range i.RootFS.Layers {
		data, err := readContent(st, digest.Digest(layer))
		must(t, err)
		if digest.FromBytes(data) != digest.Digest(layer) {
			t.Errorf("layer %s is read as %s", layer, digest.FromBytes(data))
		}
	}
	must(t, images.Save(t.Context(), io.Discard, []string{"small", "committed:1", goldenDangling}, nil))
	checkContainer(t, st, root, small.ID)
	for _, gone := range []string{"image", "overlay2", "adoption.json", "relocation"} {
		if _, err := os.Lstat(filepath.Join(root, gone)); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	account, err := filepath.Glob(filepath.Join(root, "adopted", "*", "account.txt"))
	if err != nil || len(account) != 1 {
		t.Errorf("accounts %v %v", account, err)
	}
}

func checkContainer(t *testing.T, st *storage.Service, root, imageID string) {
	t.Helper()
	f, err := st.Root(t.Context(), goldenContainer)
	must(t, err)
	base := fmt.Sprintf("/proc/self/fd/%d/", f.Fd())
	for name, want := range map[string]string{"made": "made", "dir/b": "b", "link": "root:x:0:0::/:/\n"} {
		if data, err := os.ReadFile(base + name); err != nil || string(data) != want {
			t.Errorf("%s is %q, %v", name, data, err)
		}
	}
	if _, err := os.Lstat(base + "dir/a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that the second layer removes: %v", err)
	}
	must(t, f.Close())
	dir := filepath.Join(root, "containers", goldenContainer)
	config, err := os.ReadFile(filepath.Join(dir, record.ConfigFile))
	must(t, err)
	host, err := os.ReadFile(filepath.Join(dir, record.HostConfigFile))
	must(t, err)
	r, err := record.Decode(config, host)
	must(t, err)
	if r.Driver != "overlayfs" || r.ImageID != imageID || r.Name != "golden" || r.Chain == "" || r.HostConfig.RestartPolicy.Name != "unless-stopped" {
		t.Errorf("record is %+v", r)
	}
	if m := r.Mounts["/data"]; m == nil || m.Name != "vol" || m.Source != filepath.Join(root, "volumes/vol/_data") {
		t.Errorf("mount is %+v", m)
	}
}

func readContent(st *storage.Service, d digest.Digest) ([]byte, error) {
	ctx := st.Context(context.Background())
	info, err := st.Content().Info(ctx, d)
	if err != nil {
		return nil, err
	}
	if info.Labels[storage.RebuiltLabel] == "" {
		return nil, errors.New("the layer is stored a second time")
	}
	ra, err := st.Content().ReaderAt(ctx, descriptor(d))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(content.NewReader(ra))
	return data, errors.Join(err, ra.Close())
}

func TestAClassicRootIsTakenOverInPlace(t *testing.T) {
	root := golden(t)
	before := listing(t, root)
	said, err := migrateIn(t, root, root, func(o *MigrateOptions) { o.DryRun = true })
	must(t, err)
	if after := listing(t, root); after != before {
		t.Errorf("a dry run has changed\n%s\nto\n%s", before, after)
	}
	for _, line := range []string{"image e8b5e75fec4c of 2 layers: 127.0.0.1:5000/small:1, ", "container golden (17761cd1f4ec)", "volume vol", "dry run", "of 3 layers: without a name"} {
		if !strings.Contains(said, line) {
			t.Errorf("the dry run says\n%s\nwithout %q", said, line)
		}
	}
	_, err = migrateIn(t, root, root)
	must(t, err)
	checkAdopted(t, root)
	if said, err := migrateIn(t, root, root); err != nil || !strings.Contains(said, "containerd image store") {
		t.Errorf("a second time: %s, %v", said, err)
	}
}

func TestAClassicRootIsTakenOverElsewhere(t *testing.T) {
	for _, byCopy := range []bool{false, true} {
		root := golden(t)
		before := listing(t, root)
		to := filepath.Join(filepath.Dir(root), "gantry")
		_, err := migrateIn(t, root, to, func(o *MigrateOptions) { o.Copy = byCopy })
		must(t, err)
		checkAdopted(t, to)
		if after := listing(t, root); byCopy && after != before {
			t.Errorf("copying has changed\n%s\nto\n%s", before, after)
		}
	}
}

// points are all places where an adoption can be killed, in order.
var points = []string{
	"adopt.begun", "storage.adopt.prepared", "storage.adopt.prepared:2", "storage.adopt.moved", "storage.adopt.moved:3", "storage.adopt.committed", "storage.adopt.committed:3",
	"image.adopt.stored", "image.adopt.stored:2", "image.name.committed", "image.name.committed:2", "migration.images", "storage.init.files", "storage.create.snapshot", "storage.adopt.rw",
	"migration.record", "migration.containers", "migration.lease", "adopt.archive.shells", "adopt.archive.image", "adopt.archive.adoption.json",
}

func TestAKilledAdoptionGoesOn(t *testing.T) {
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			root := golden(t)
			killed(t, point, root, root, false)
			if _, err := migrateIn(t, root, root); err != nil {
				t.Fatal(err)
			}
			checkAdopted(t, root)
		})
	}
}

func TestAKilledRelocationGoesOn(t *testing.T) {
	for _, point := range []string{"adopt.relocate.entry", "adopt.relocate.entry:3", "adopt.relocate.entry:5", "adopt.begun", "storage.adopt.moved", "migration.record"} {
		for _, byCopy := range []bool{false, true} {
			t.Run(fmt.Sprint(point, byCopy), func(t *testing.T) {
				root := golden(t)
				to := filepath.Join(filepath.Dir(root), "gantry")
				killed(t, point, root, to, byCopy)
				if _, err := migrateIn(t, root, to, func(o *MigrateOptions) { o.Copy = byCopy }); err != nil {
					t.Fatal(err)
				}
				checkAdopted(t, to)
			})
		}
	}
}

// killed runs a migration that ends at a fault point.
func killed(t *testing.T, point, from, to string, byCopy bool) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), migrateRoot+"="+from, migrateTo+"="+to, fault.Env+"="+point)
	if byCopy {
		cmd.Env = append(cmd.Env, migrateCopy+"=1")
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Sys().(interface{ Signaled() bool }).Signaled() {
		t.Fatalf("the migration was not killed at %s: %v\n%s", point, err, out)
	}
}

func TestWhatMustNotBeTouchedIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, root string)
		want  string
	}{
		"another storage driver": {func(t *testing.T, root string) {
			must(t, os.MkdirAll(filepath.Join(root, "image/devicemapper/layerdb/sha256/x"), 0o700))
		}, "storage driver devicemapper"},
		"an unknown storage driver": {func(t *testing.T, root string) {
			must(t, os.MkdirAll(filepath.Join(root, "image/tape/layerdb/sha256/x"), 0o700))
		}, "unknown storage driver tape"},
		"before 1.10": {func(t *testing.T, root string) {
			must(t, os.RemoveAll(filepath.Join(root, "image")), os.Mkdir(filepath.Join(root, "graph"), 0o700))
		}, "before 1.10"},
		"a daemon": {func(t *testing.T, root string) {
			f, err := os.OpenFile(filepath.Join(root, "volumes/metadata.db"), os.O_RDWR, 0)
			must(t, err)
			t.Cleanup(func() { must(t, f.Close()) })
			must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		}, "is in use"},
		"a migration to it": {func(t *testing.T, root string) {
			must(t, os.WriteFile(filepath.Join(root, "relocation"), []byte("/old"), 0o600))
		}, "call gantry migrate --from /old --to"},
		"a container of another driver": {func(t *testing.T, root string) {
			rewriteGolden(t, root, `"Driver":"overlay2"`, `"Driver":"zfs"`)
		}, "container golden (17761cd1f4ec) has the storage driver zfs"},
	} {
		t.Run(name, func(t *testing.T) {
			root := golden(t)
			c.spoil(t, root)
			before := listing(t, root)
			_, err := migrateIn(t, root, root)
			if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it is not refused with %q: %v", c.want, err)
			}
			if _, err := openSurvey(t.Context(), &config.Config{DataRoot: root}); err == nil {
				t.Error("the daemon opens it")
			}
			if after := listing(t, root); after != before {
				t.Errorf("%s\nbecame\n%s", before, after)
			}
		})
	}
}

func TestAnotherConfiguredDriverIsRefused(t *testing.T) {
	root := golden(t)
	cfg := &config.Config{DataRoot: root}
	for driver, ok := range map[string]bool{"native": false, "overlay2": true, "": true} {
		cfg.Storage.Driver = driver
		if r, err := openSurvey(t.Context(), cfg); (r != nil) != ok || (err == nil) != ok {
			t.Errorf("%q: %v", driver, err)
		}
	}
}

func rewriteGolden(t *testing.T, root, old, now string) {
	t.Helper()
	path := filepath.Join(root, "containers", goldenContainer, record.ConfigFile)
	data, err := os.ReadFile(path)
	must(t, err)
	if !strings.Contains(string(data), old) {
		t.Fatalf("no %s in %s", old, data)
	}
	must(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(data), old, now)), 0o600))
}

// A broken image stays behind, and is named; all else is carried over.
func TestABrokenLayerTakesOnlyItsImages(t *testing.T) {
	root := golden(t)
	layers, err := filepath.Glob(filepath.Join(root, "image/overlay2/layerdb/sha256/*/parent"))
	must(t, err)
	for _, parent := range layers {
		// The layer of the commits is the one whose parent has a parent.
		data, err := os.ReadFile(parent)
		must(t, err)
		if _, err := os.Stat(filepath.Join(root, "image/overlay2/layerdb/sha256", string(data[7:]), "parent")); err == nil {
			must(t, os.Remove(filepath.Join(filepath.Dir(parent), "tar-split.json.gz")))
		}
	}
	said, err := migrateIn(t, root, root)
	must(t, err)
	if !strings.Contains(said, "Not carried over:") || !strings.Contains(said, "committed:1: layer") {
		t.Errorf("it says\n%s", said)
	}
	st, err := storage.Open(t.Context(), storage.Config{Root: root})
	must(t, err)
	defer func() { must(t, st.Close(context.Background())) }()
	images, err := image.Open(t.Context(), image.Config{Storage: st})
	must(t, err)
	small, err := images.Resolve(t.Context(), "small", nil)
	must(t, err)
	checkContainer(t, st, root, small.ID)
	if _, err := images.Resolve(t.Context(), "committed:1", nil); !errdefs.IsNotFound(err) {
		t.Errorf("the broken image is %v", err)
	}
}

// A layer whose files somebody has changed is not passed on as what it was.
func TestAChangedLayerIsNotSaved(t *testing.T) {
	root := golden(t)
	files, err := filepath.Glob(filepath.Join(root, "overlay2/*/diff/second"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	must(t, os.WriteFile(files[0], bytes.Repeat([]byte("3"), 600), 0o644))
	_, err = migrateIn(t, root, root)
	must(t, err)
	st, err := storage.Open(t.Context(), storage.Config{Root: root})
	must(t, err)
	defer func() { must(t, st.Close(context.Background())) }()
	images, err := image.Open(t.Context(), image.Config{Storage: st})
	must(t, err)
	if err := images.Save(t.Context(), io.Discard, []string{"small"}, nil); err == nil {
		t.Error("the changed layer is saved")
	}
}

func descriptor(d digest.Digest) ocispec.Descriptor { return ocispec.Descriptor{Digest: d} }
