package logfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"gantry/logdriver"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// segment is an open file of a log, on the reader's side.
type segment struct {
	f          *os.File
	inode      uint64 // its own
	compressed bool
	origin     origin    // of a compressed segment; zero if it does not tell
	last       time.Time // no message is later

	skip    int // records to leave out before the next one
	scanner *scanner
	offset  int64 // bytes that the scanner has read; of an uncompressed segment
}

// openSegment opens a file of a log for reading, and nothing that is not a regular file.
func openSegment(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func newSegment(f *os.File, compressed bool) (*segment, error) {
	info, id, err := identify(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &segment{f: f, inode: id.inode, compressed: compressed, last: info.ModTime()}
	if compressed {
		s.readHeader()
	}
	return s, nil
}

// readHeader takes what the header tells; a header that says nothing, or nonsense, is no error here.
func (s *segment) readHeader() {
	zr, err := gzip.NewReader(io.NewSectionReader(s.f, 0, 1<<20))
	if err != nil {
		return
	}
	var h header
	if json.Unmarshal(zr.Extra, &h) != nil {
		return
	}
	s.origin = origin{inode: h.Inode, modified: h.Modified}
	if !h.LastTime.IsZero() {
		s.last = h.LastTime
	}
}

// identify returns who the file is now.
func identify(f *os.File) (os.FileInfo, origin, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, origin{}, err
	}
	st, ok := info.Sys().(*unixStat)
	if !ok {
		return nil, origin{}, fmt.Errorf("stat %s: no inode", f.Name())
	}
	return info, origin{inode: st.Ino, modified: info.ModTime().UnixNano()}, nil
}

func (s *segment) close() { _ = s.f.Close() } // it was only read

// same reports whether the two hold the same records: they are one file, or the one was compressed from
// the other. Both are open, so that neither inode can be in use for something else.
func (s *segment) same(other *segment) bool {
	return s.inode == other.inode || s.madeOf(other) || other.madeOf(s)
}

func (s *segment) madeOf(plain *segment) bool {
	if !s.compressed || plain.compressed || s.origin.inode != plain.inode {
		return false
	}
	_, id, err := identify(plain.f)
	return err == nil && id == s.origin
}

// begin makes the segment ready to be read: from start, or from its first byte if it is compressed.
func (s *segment) begin(format Format, start int64) error {
	s.offset = start
	if !s.compressed {
		s.scanner = newScanner(&counted{s}, format)
		return nil
	}
	zr, err := gzip.NewReader(io.NewSectionReader(s.f, 0, 1<<62))
	if err != nil {
		return err
	}
	s.scanner = newScanner(zr, format)
	return nil
}

// counted reads an uncompressed segment at its offset.
type counted struct{ s *segment }

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.s.f.ReadAt(p, c.s.offset)
	c.s.offset += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// truncated reports whether the file is shorter than what was read of it: somebody has emptied it in place.
func (s *segment) truncated() bool {
	info, err := s.f.Stat()
	return err == nil && !s.compressed && info.Size() < s.offset
}

// message returns the next message of the segment, and false where it ends for now.
func (s *segment) message(format Format, m *logdriver.Message) (bool, error) {
	for {
		record, ok, err := s.scanner.next()
		if !ok || err != nil {
			return false, err
		}
		if !format.Decode(record, m) {
			continue
		}
		if s.skip > 0 {
			s.skip--
			continue
		}
		return true, nil
	}
}

// open returns nil for a file that is not there.
func open(path string, compressed bool) (*segment, error) {
	f, err := openSegment(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return newSegment(f, compressed)
}
