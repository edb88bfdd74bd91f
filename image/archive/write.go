package archive

import (
	"archive/tar"
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Open opens a blob to be read.
type Open func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)

// Writer writes a tar that is an OCI layout and a docker-save archive at once.
type Writer struct {
	tar     *tar.Writer
	written map[digest.Digest]bool
	images  []ocispec.Descriptor
	entries []Entry
	buf     []byte
}

// NewWriter writes the layout's directories.
func NewWriter(w io.Writer) (*Writer, error) {
	out := &Writer{tar: tar.NewWriter(w), written: map[digest.Digest]bool{}, buf: make([]byte, 1<<17)}
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := out.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// BlobPath is a blob's name in an archive.
func BlobPath(d digest.Digest) string {
	return ocispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

// Blob adds a blob, once.
func (w *Writer) Blob(ctx context.Context, d ocispec.Descriptor, open Open) error {
	if w.written[d.Digest] {
		return nil
	}
	r, err := open(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read from
	w.written[d.Digest] = true
	h := &tar.Header{Typeflag: tar.TypeReg, Name: BlobPath(d.Digest), Mode: 0o444, Size: d.Size, ModTime: time.Unix(0, 0)}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	// Without the reader's own WriteTo, which would not use the buffer.
	_, err = io.CopyBuffer(w.tar, struct{ io.Reader }{r}, w.buf)
	return err
}

// Index lists an image in index.json.
func (w *Writer) Index(d ocispec.Descriptor) { w.images = append(w.images, d) }

// Entry lists an image in manifest.json.
func (w *Writer) Entry(e Entry) { w.entries = append(w.entries, e) }

// Close writes the files that say what the archive holds, and its end.
func (w *Writer) Close() error {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: w.images}
	for _, f := range []struct {
		name    string
		content any
	}{
		{IndexFile, index},
		{ManifestFile, append([]Entry{}, w.entries...)},
		{LayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}},
	} {
		data, err := json.Marshal(f.content)
		if err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o444, Size: int64(len(data)), ModTime: time.Unix(0, 0)}
		if err := w.tar.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.tar.Write(data); err != nil {
			return err
		}
	}
	return w.tar.Close()
}
