package logfile

import (
	"errors"
	"io"
)

// scanBuffer is what a scanner starts with, in bytes; it grows up to 2*MaxRecord.
const scanBuffer = 32 << 10

// scanner cuts a stream into records. At the end of the stream it stops before a
// record that is not whole, and goes on when there is more.
type scanner struct {
	src    io.Reader
	format Format
	buf    []byte
	r, w   int // what is not cut yet: buf[r:w]
}

func newScanner(src io.Reader, format Format) *scanner {
	return &scanner{src: src, format: format, buf: make([]byte, scanBuffer)}
}

// next returns a record, valid until the next call. False without an error is the end for now.
func (s *scanner) next() (record []byte, ok bool, err error) {
	for {
		n, record, err := s.format.Split(s.buf[s.r:s.w])
		if err != nil {
			return nil, false, err
		}
		s.r += n
		if record != nil {
			return record, true, nil
		}
		if n > 0 {
			continue
		}
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return nil, false, err
		}
	}
}

func (s *scanner) fill() error {
	if s.r > 0 {
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	if s.w == len(s.buf) {
		if len(s.buf) >= 2*MaxRecord {
			return errors.New("a record is longer than any may be")
		}
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	n, err := s.src.Read(s.buf[s.w:])
	s.w += n
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}
