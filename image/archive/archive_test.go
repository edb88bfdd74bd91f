package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hashed ingests into nothing.
func hashed(_ context.Context, r io.Reader, _ int64, _ digest.Digest) (ocispec.Descriptor, error) {
	d := digest.Canonical.Digester()
	n, err := io.Copy(d.Hash(), r)
	return ocispec.Descriptor{Digest: d.Digest(), Size: n}, err
}

func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, io.LimitReader(zeros{}, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

type zeros struct{}

// repeated is the same bytes over and over.
type repeated struct {
	unit []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.unit[r.at:])
	r.at = (r.at + n) % len(r.unit)
	return n, nil
}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLayersThatAreLinksToOthers(t *testing.T) {
	c, err := Read(t.Context(), bytes.NewReader(tarOf(t,
		tar.Header{Name: "one/layer.tar", Size: 10, Typeflag: tar.TypeReg},
		tar.Header{Name: "two/layer.tar", Linkname: "../one/layer.tar", Typeflag: tar.TypeSymlink},
		tar.Header{Name: "./three/layer.tar", Linkname: "two/layer.tar", Typeflag: tar.TypeLink},
		tar.Header{Name: "loop", Linkname: "loop", Typeflag: tar.TypeSymlink},
		tar.Header{Name: "out", Linkname: "../../../etc/passwd", Typeflag: tar.TypeSymlink},
		tar.Header{Name: "one/json", Size: 3, Typeflag: tar.TypeReg},
		tar.Header{Name: "repositories", Size: 3, Typeflag: tar.TypeReg},
	)), hashed)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one/layer.tar", "two/layer.tar", "three/layer.tar"} {
		if d, err := c.Find(name); err != nil || d.Size != 10 {
			t.Errorf("%s: %+v %v", name, d, err)
		}
	}
	for _, name := range []string{"loop", "out", "one/json", "repositories", "nope"} {
		if _, err := c.Find(name); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHugeIndexIsRefused(t *testing.T) {
	data := tarOf(t, tar.Header{Name: "index.json", Size: MaxJSON + 1, Typeflag: tar.TypeReg})
	if _, err := Read(t.Context(), bytes.NewReader(data), hashed); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

func TestTooManyEntriesAreRefused(t *testing.T) {
	one := tarOf(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir})[:512]
	_, err := Read(t.Context(), &repeated{unit: one}, hashed)
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, bytes.NewReader(tarOf(t)), hashed); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`[{"Config":"a.json","RepoTags":["a:b"],"Layers":["x/layer.tar"]}]`))
	f.Add([]byte(`[{"Config":"../../a","Layers":null}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ParseManifest(data)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			return
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Config, "/") || strings.HasPrefix(e.Config, "../") {
				t.Fatalf("config %q", e.Config)
			}
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"manifests":[{"mediaType":"x","digest":"sha256:` + strings.Repeat("0", 64) + `","size":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := ParseIndex(data)
		if err != nil {
			return
		}
		for _, d := range index.Manifests {
			if d.Digest.Validate() != nil || d.Size < 0 {
				t.Fatalf("%+v", d)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(tarOf(f, tar.Header{Name: "blobs/sha256/x", Size: 10, Typeflag: tar.TypeReg}, tar.Header{Name: "manifest.json", Size: 2, Typeflag: tar.TypeReg}))
	f.Add([]byte{0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(t.Context(), bytes.NewReader(data), hashed)
		if err == nil {
			for name := range c.Blobs {
				if _, err := c.Find(name); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
