package storage

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/internal/testkit/imagetar"
	"gantry/storage/tarsplit"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/moby/go-archive"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/vbatts/tar-split/tar/asm"
	split "github.com/vbatts/tar-split/tar/storage"
)

// unpackedBy is a layer as dockerd unpacks it, beside the store of s.
func unpackedBy(t *testing.T, root string, parent ChainID, files imagetar.Rootfs) (Unpacked, []byte) {
	t.Helper()
	data, id := layer(t, files)
	home := filepath.Join(root, digest.Digest(id).Encoded())
	l := Unpacked{Parent: parent, Layer: id, Dir: filepath.Join(home, "diff"), Split: filepath.Join(home, tarsplit.File)}
	must(t, os.MkdirAll(l.Dir, 0o755))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	r, done, err := asm.NewInputTarStreamWithDone(bytes.NewReader(data), split.NewJSONPacker(z), split.NewDiscardFilePutter())
	must(t, err, archive.Untar(r, l.Dir, &archive.TarOptions{}))
	_, err = io.Copy(io.Discard, r)
	must(t, err, <-done, z.Close(), os.WriteFile(l.Split, packed.Bytes(), 0o600))
	return l, data
}

func adoption(t *testing.T, s *Service) *Adoption {
	t.Helper()
	a, err := s.Adoption()
	must(t, err, a.Begin(t.Context()))
	return a
}

func TestAnAdoptedLayerIsReadAsItsTar(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, "overlayfs")
	a := adoption(t, s)
	big := strings.Repeat("0123456789abcdef", 1<<14)
	l, data := unpackedBy(t, root, "", imagetar.Rootfs{"a": {Data: "1"}, "dir/big": {Data: big}})
	chain, err := a.AdoptLayer(t.Context(), l)
	must(t, err)
	if _, err := os.Stat(l.Dir); !os.IsNotExist(err) {
		t.Errorf("the layer was not moved: %v", err)
	}
	createRW(t, s, "c1", chain)
	inRoot(t, s, "c1", func(root string) {
		if got, err := os.ReadFile(root + "/dir/big"); err != nil || string(got) != big {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	ctx := s.Context(t.Context())
	ra, err := s.Content().ReaderAt(ctx, ocispec.Descriptor{Digest: digest.Digest(l.Layer)})
	must(t, err)
	if ra.Size() != int64(len(data)) {
		t.Fatalf("size is %d, want %d", ra.Size(), len(data))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		off := random.IntN(len(data))
		part := make([]byte, random.IntN(len(data)-off)+1)
		n, err := ra.ReadAt(part, int64(off))
		if err != nil && err != io.EOF || !bytes.Equal(part[:n], data[off:off+n]) || n != min(len(part), len(data)-off) {
			t.Errorf("%d bytes at %d: %d, %v", len(part), off, n, err)
		}
	}
	got, err := io.ReadAll(content.NewReader(ra))
	if must(t, err, ra.Close()); !bytes.Equal(got, data) {
		t.Error("the tar is another one")
	}
	if n, err := s.Size(ctx); err != nil || n > int64(2*len(big)) {
		t.Errorf("the layer counts %d bytes, %v", n, err)
	}
}

func TestAnAdoptedLayerGoesWithItsLastUser(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, "overlayfs")
	a := adoption(t, s)
	l, _ := unpackedBy(t, root, "", imagetar.Rootfs{"a": {Data: "1"}})
	_, err := a.AdoptLayer(t.Context(), l)
	must(t, err, s.Collect(t.Context()))
	ctx := s.Context(t.Context())
	if _, err := s.Content().Info(ctx, digest.Digest(l.Layer)); err != nil {
		t.Errorf("it is gone before the adoption has ended: %v", err)
	}
	must(t, a.End(t.Context()), a.End(t.Context()), s.Collect(t.Context()))
	if _, err := s.Content().Info(ctx, digest.Digest(l.Layer)); !errdefs.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
	if got := directories(t, s); len(got) != 0 {
		t.Errorf("directories %v are left", got)
	}
}

func TestALostLayerIsNotAdopted(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, "overlayfs")
	a := adoption(t, s)
	l, _ := unpackedBy(t, root, "", imagetar.Rootfs{"a": {Data: "1"}})
	must(t, os.Rename(l.Dir, l.Dir+"-elsewhere"))
	for range 2 {
		if _, err := a.AdoptLayer(t.Context(), l); !errdefs.IsNotFound(err) {
			t.Errorf("%v", err)
		}
	}
	must(t, os.Rename(l.Dir+"-elsewhere", l.Dir))
	chain, err := a.AdoptLayer(t.Context(), l)
	must(t, err)
	if err := a.AdoptRW(t.Context(), "c1", chain, filepath.Join(root, "none")); !errdefs.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}

func TestLayersOfOverlay2NeedOverlayfs(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "image/overlay2/layerdb/sha256"), 0o700))
	if name, _ := open(t, root, "").Driver(); name != "overlayfs" {
		t.Errorf("the driver for a classic data root is %s", name)
	}
	if _, err := open(t, t.TempDir(), "native").Adoption(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("native: %v", err)
	}
}

// dockerd puts an init layer of its own between each container and its image.
func TestTheChainOfAnyRWLayerIsKnown(t *testing.T) {
	onEachDriver(t, func(t *testing.T, s *Service) {
		chain := unpack(t, s, imagetar.Rootfs{"a": {Data: "1"}}, imagetar.Rootfs{"b": {Data: "2"}})
		createRW(t, s, "ours", chain)
		ctx := s.Context(context.Background())
		_, err := s.Leases().Create(ctx, leases.WithID("theirs"))
		must(t, err)
		ctx = leases.WithLease(ctx, "theirs")
		_, err = s.snapshots.Prepare(ctx, "theirs-init-key", string(chain))
		must(t, err, s.snapshots.Commit(ctx, "theirs-init", "theirs-init-key"))
		_, err = s.snapshots.Prepare(ctx, "theirs", "theirs-init")
		must(t, err)
		createRW(t, s, "scratch", "")
		for id, want := range map[string]ChainID{"ours": chain, "theirs": chain, "scratch": ""} {
			if got, err := s.ChainOf(t.Context(), id); err != nil || got != want {
				t.Errorf("%s stands on %q, %v", id, got, err)
			}
		}
		if _, err := s.ChainOf(t.Context(), "none"); !errdefs.IsNotFound(err) {
			t.Errorf("%v", err)
		}
	})
}
