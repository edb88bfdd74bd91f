package logfile

import (
	"errors"
	"io"
)

// blockSize of backward reading, in bytes.
const blockSize = 64 << 10

// Blocks reads a file backwards through one cached block, so that stepping from
// record to record costs a system call a block and not one a record.
type Blocks struct {
	src io.ReaderAt
	buf []byte // the block
	off int64  // where it starts
}

// NewBlocks returns a reader of src. Memory is taken with the first read.
func NewBlocks(src io.ReaderAt) *Blocks { return &Blocks{src: src} }

// Until returns bytes that end at end, at least one and at most a block, and the offset
// of the first. They are valid until the next call. End must be positive; io.EOF tells
// that the file is shorter.
func (b *Blocks) Until(end int64) (data []byte, off int64, err error) {
	if end <= b.off || end > b.off+int64(len(b.buf)) {
		if err := b.load(max(0, end-blockSize), end); err != nil {
			return nil, 0, err
		}
	}
	return b.buf[:end-b.off], b.off, nil
}

// ReadAt is that of io.ReaderAt, from the cached block where it covers the range.
func (b *Blocks) ReadAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	if off >= b.off && end <= b.off+int64(len(b.buf)) {
		return copy(p, b.buf[off-b.off:]), nil
	}
	if len(p) > blockSize {
		return b.src.ReadAt(p, off)
	}
	if err := b.load(max(0, end-blockSize), end); err != nil {
		return 0, err
	}
	return copy(p, b.buf[off-b.off:]), nil
}

// Ahead is ReadAt for a reader that goes forward: it caches the block that starts at off.
// It returns what the file has, up to n bytes, at most a block.
func (b *Blocks) Ahead(off int64, n int) ([]byte, error) {
	if off < b.off || off+int64(n) > b.off+int64(len(b.buf)) {
		if err := b.load(off, off+blockSize); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	data := b.buf[off-b.off:]
	return data[:min(n, len(data))], nil
}

func (b *Blocks) load(off, end int64) error {
	if b.buf == nil {
		b.buf = make([]byte, 0, blockSize)
	}
	n, err := b.src.ReadAt(b.buf[:end-off], off)
	b.buf, b.off = b.buf[:n], off
	if n == int(end-off) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}
