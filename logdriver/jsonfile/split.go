package jsonfile

import (
	"bytes"
	"os"

	"gantry/logdriver/logfile"
)

func newFormat() logfile.Format { return &format{} }

// Split cuts at the newline. A line that never ends is dropped piece by piece.
func (f *format) Split(data []byte) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if len(data) >= logfile.MaxRecord {
		return len(data), nil, nil
	}
	return 0, nil, nil
}

// Before finds the newline before the one that ends the record.
func (f *format) Before(b *logfile.Blocks, end int64) (int64, error) {
	return lineStart(b, end-1)
}

// End is behind the last newline.
func (f *format) End(b *logfile.Blocks, size int64) (int64, error) {
	return lineStart(b, size)
}

// lineStart returns where the line begins that has offset at, or ends there.
func lineStart(b *logfile.Blocks, at int64) (int64, error) {
	for at > 0 {
		data, off, err := b.Until(at)
		if err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(data, '\n'); i >= 0 {
			return off + int64(i) + 1, nil
		}
		at = off
	}
	return 0, nil
}

// Repair ends a torn line, which readers then skip.
func (f *format) Repair(file *os.File, size int64) (int64, error) {
	if size == 0 {
		return 0, nil
	}
	last := []byte{0}
	if _, err := file.ReadAt(last, size-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return size, nil
	}
	n, err := file.Write([]byte{'\n'})
	return size + int64(n), err
}
