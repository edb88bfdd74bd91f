package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression of a stream.
type Compression int

const (
	Uncompressed Compression = iota
	Gzip
	Zstd
	Bzip2
	XZ // recognised, not supported
)

// magics are the first bytes of each format.
var magics = [...]struct {
	prefix []byte
	is     Compression
}{
	{[]byte{0x1f, 0x8b, 0x08}, Gzip},             // RFC 1952
	{[]byte{0x28, 0xb5, 0x2f, 0xfd}, Zstd},       // RFC 8878
	{[]byte("BZh"), Bzip2},                       //
	{[]byte{0xfd, '7', 'z', 'X', 'Z', 0x00}, XZ}, //
}

// maxWindow bounds the memory that a zstd stream can ask for; the tool's own limit without --long is 128 MiB.
const maxWindow = 128 << 20

// Detect tells a stream's compression by its first bytes, which stay to be read from the returned reader.
func Detect(r io.Reader) (Compression, *bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	head, err := b.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return Uncompressed, b, err
	}
	for _, m := range magics {
		if bytes.HasPrefix(head, m.prefix) {
			return m.is, b, nil
		}
	}
	return Uncompressed, b, nil
}

// Decompress returns the stream's content, in whatever format it comes. Errors: not implemented (xz).
func Decompress(r io.Reader) (io.ReadCloser, Compression, error) {
	c, b, err := Detect(r)
	if err != nil {
		return nil, c, err
	}
	switch c {
	case Gzip:
		z, err := gzip.NewReader(b)
		return z, c, err
	case Zstd:
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(2))
		if err != nil {
			return nil, c, err
		}
		return z.IOReadCloser(), c, nil
	case Bzip2:
		return io.NopCloser(bzip2.NewReader(b)), c, nil
	case XZ:
		return nil, c, errdefs.ErrNotImplemented.WithMessage("xz compression is not supported: use gzip or zstd")
	}
	return io.NopCloser(b), c, nil
}
