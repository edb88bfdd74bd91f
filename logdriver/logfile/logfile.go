// Package logfile keeps the records of a log in a file that is rotated: the
// part that the json-file and local drivers have in common.
//
// The current file is written at Path. When it is full it becomes Path.1, what was
// Path.1 becomes Path.2, and so on; a rotated file may be compressed, Path.1.gz.
// A segment is any one of these files. A Format says what a record is.
//
// Writer and readers are different processes and share nothing but the files. A
// reader finds a segment again, after it was renamed or compressed, by the inode
// that it was written as, which a compressed segment carries in its gzip header.
// Readers never change a file, and never take a record that is not whole.
package logfile

import (
	"os"

	"gantry/logdriver"
)

const (
	// MaxRecord bounds one encoded record, in bytes. A message of logdriver.PartSize
	// that is all control characters takes six times its size in JSON, and the
	// attributes come on top.
	MaxRecord = 1 << 20

	// MaxAttrs bounds what an Info's attributes may take of a record, in bytes.
	MaxAttrs = MaxRecord / 2

	// fileMode is that of Docker's log files: the group may be a log shipper's.
	fileMode = 0o640
)

// Format encodes and decodes records. It may hold scratch memory: each writer and
// each reader has one of its own.
type Format interface {
	// Append adds the record of m to dst.
	Append(dst []byte, m *logdriver.Message) []byte

	// Split cuts the first record off data. It returns how many bytes to drop, 0 when
	// data ends inside the record, and the record itself, nil when what is dropped is
	// none. It must drop something when it is given 2*MaxRecord bytes. An error is
	// damage after which no further record of the file can be found.
	Split(data []byte) (n int, record []byte, err error)

	// Decode reads what Split found into m, which is valid until the next Decode. It
	// reports false for what is not a message.
	Decode(record []byte, m *logdriver.Message) bool

	// Before returns the offset of the record that ends at end, which is the end of
	// a whole record. An error is damage, or that of reading.
	Before(b *Blocks, end int64) (int64, error)

	// End returns the end of the last whole record of a file of size bytes.
	End(b *Blocks, size int64) (int64, error)

	// Repair makes a file that may end in a torn record one that can be appended to,
	// and returns its size.
	Repair(f *os.File, size int64) (int64, error)
}
