package storage

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"gantry/internal/testkit/imagetar"

	"github.com/containerd/containerd/v2/core/leases"
)

// What the driver or the content store has, and the metadata does not name, is
// what a crash between their two commits leaves.
func TestOpenRemovesWhatNothingNames(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			root := t.TempDir()
			s := open(t, root, d)
			chain := unpack(t, s, imagetar.Rootfs{"a": {Data: "1"}})
			createRW(t, s, "c1", chain)
			ctx := s.Context(context.Background())
			before := len(directories(t, s))
			_, err := s.driver.Prepare(ctx, "orphan-key", "")
			must(t, err, s.driver.Commit(ctx, "orphan", "orphan-key"))
			_, err = s.driver.Prepare(ctx, "orphan-child", "orphan")
			must(t, err)
			must(t, s.Close(ctx))
			daemon := filepath.Join(root, "containerd/daemon")
			snapshots := filepath.Join(daemon, "io.containerd.snapshotter.v1."+d, "snapshots")
			must(t, os.MkdirAll(filepath.Join(snapshots, "new-123", "fs", "x"), 0o755), os.MkdirAll(filepath.Join(snapshots, "99", "fs"), 0o755))
			blob := filepath.Join(daemon, "io.containerd.content.v1.content/blobs/sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
			must(t, os.MkdirAll(filepath.Dir(blob), 0o755), os.WriteFile(blob, nil, 0o644))

			s = open(t, root, d)
			must(t, s.Collect(ctx))
			if got := directories(t, s); len(got) != before {
				t.Errorf("directories %v, there were %d", got, before)
			}
			if _, err := os.Stat(blob); !os.IsNotExist(err) {
				t.Errorf("the blob without a row is there: %v", err)
			}
			inRoot(t, s, "c1", func(root string) {
				if _, err := os.Stat(root + "/a"); err != nil {
					t.Error(err)
				}
			})
			createRW(t, s, "c2", chain)
		})
	}
}

func TestOperationsOfADeadDaemonEnd(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, "overlayfs")
	ctx, _, err := s.Begin(t.Context())
	must(t, err)
	data, id := layer(t, imagetar.Rootfs{"a": {Data: "1"}})
	_, err = s.Unpack(ctx, "", id, bytes.NewReader(data))
	must(t, err, s.Close(t.Context()))
	s = open(t, root, "")
	must(t, s.Collect(t.Context()))
	list, err := s.Leases().List(s.Context(t.Context()))
	if err != nil || len(list) != 0 {
		t.Errorf("leases %v, %v", list, err)
	}
	if left := directories(t, s); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	// leases that are not ours stay
	_, err = s.Leases().Create(s.Context(t.Context()), leases.WithID("somebody's"))
	must(t, err, s.Close(t.Context()))
	s = open(t, root, "")
	if list, err := s.Leases().List(s.Context(t.Context())); err != nil || len(list) != 1 {
		t.Errorf("leases %v, %v", list, err)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	root := t.TempDir()
	open(t, root, "overlayfs")
	if s, err := Open(t.Context(), Config{Root: root}); err == nil {
		_ = s.Close(t.Context())
		t.Error("two daemons have one data root open")
	}
}
