package image

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"

	"gantry/events"
	"gantry/internal/fault"
	"gantry/internal/testkit/imagetar"
	"gantry/storage"

	"github.com/moby/moby/api/types/jsonstream"
	"golang.org/x/sys/unix"
)

// crashRoot names the data root of the process that is to be killed.
const crashRoot = "GANTRY_TEST_CRASH_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(crashRoot); root != "" {
		if err := life(context.Background(), root); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// life uses every operation that changes something, on images of fixed content.
func life(ctx context.Context, root string) (err error) {
	st, err := storage.Open(ctx, storage.Config{Root: root})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close(ctx)) }()
	j, err := events.Open(ctx, events.Config{})
	if err != nil {
		return err
	}
	s, err := Open(ctx, Config{Storage: st, Events: j})
	if err != nil {
		return err
	}
	data, err := imagetar.Build(
		imagetar.Image{Tags: []string{"one:1"}, Layers: []imagetar.Rootfs{{"file": {Data: "1"}}, {"more": {Data: "2"}}}},
		imagetar.Image{Tags: []string{"two:1"}, Layers: []imagetar.Rootfs{{"file": {Data: "1"}}}})
	if err != nil {
		return err
	}
	if err := s.Load(ctx, bytes.NewReader(data), nil, func(jsonstream.Message) {}); err != nil {
		return err
	}
	one, err := s.Resolve(ctx, "one:1", nil)
	if err != nil {
		return err
	}
	if err := st.CreateRW(ctx, "container", one.Chain, nil); err != nil {
		return err
	}
	layer, err := st.Diff(ctx, "container")
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, CommitOptions{ParentID: one.ID, Repo: "three", Tag: "1", Layer: layer})
	if err = errors.Join(err, layer.Close(), s.Tag(ctx, "one:1", "four", "1"), st.RemoveRW(ctx, "container")); err != nil {
		return err
	}
	for _, ref := range []string{"one:1", "two:1", "three:1"} {
		if _, err := s.Remove(ctx, ref, RemoveOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// killedAt runs life in another process until the fault point kills it.
func killedAt(t *testing.T, root, point string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = slices.Concat(os.Environ(), []string{crashRoot + "=" + root, fault.Env + "=" + point, "DOCKER_DRIVER="})
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
		t.Fatalf("%s was not reached: %v\n%s", point, err, out)
	}
}

func TestKilledAnywhereNothingNamedIsMissing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	for _, point := range []string{
		"storage.open.leases", "image.ingest.committed", "image.ingest.committed:3", "image.load.ingested",
		"storage.unpack.prepared", "storage.unpack.applied", "storage.unpack.applied:2", "image.unpack.done", "storage.init.files",
		"image.name.committed", "image.name.committed:2", "storage.create.snapshot", "image.create.stored", "image.name.committed:3",
		"image.tag.committed", "storage.remove.metadata", "image.remove.committed", "image.remove.committed:3",
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			killedAt(t, root, point)
			checkRoot(t, root)
			if err := life(t.Context(), root); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			checkRoot(t, root)
		})
	}
}

// checkRoot opens a data root and uses all that it names; when that is removed, nothing is left.
func checkRoot(t *testing.T, root string) {
	t.Helper()
	ctx := t.Context()
	st, err := storage.Open(ctx, storage.Config{Root: root})
	must(t, err)
	defer func() { must(t, st.Close(context.Background())) }()
	s, err := Open(ctx, Config{Storage: st})
	must(t, err, st.Collect(ctx))
	list, err := s.List(ctx, ListOptions{All: true})
	must(t, err)
	for _, i := range list {
		if fileIn(t, s, i.ID, "file") != "1" {
			t.Errorf("%v: content", i.RepoTags)
		}
		save(t, s, i.ID)
	}
	if _, err := st.Changes(ctx, "container"); err == nil {
		f, err := st.Root(ctx, "container")
		must(t, err, f.Close())
	}
	for _, i := range list {
		_, err := s.Remove(ctx, i.ID, RemoveOptions{Force: true})
		must(t, err)
	}
	must(t, st.RemoveRW(ctx, "container"), st.Collect(ctx))
	if n, err := st.Size(ctx); n != 0 || err != nil {
		t.Errorf("%d bytes are left, %v", n, err)
	}
}
