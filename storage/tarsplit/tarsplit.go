// Package tarsplit makes the tar of a layer again, byte for byte, from the directory that it was unpacked to.
//
// What a tar has beside the contents of its files (headers, padding, the order of its entries) is lost when it is
// unpacked. Docker's classic image store keeps it beside each layer in tar-split.json.gz, one JSON object a line: bytes
// to be written as they are, and names of files whose contents come next. See github.com/vbatts/tar-split.
package tarsplit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"gantry/internal/inroot"

	"github.com/klauspost/compress/gzip"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"
)

// File is the name of the file in Docker's layer store, and beside an adopted layer.
const File = "tar-split.json.gz"

// Size returns the bytes of the tar that split, which is gzip, describes. It reads split alone: O(entries).
// Errors: what is not such a file.
func Size(split io.Reader) (int64, error) {
	z, err := gzip.NewReader(bufio.NewReader(split))
	if err != nil {
		return 0, err
	}
	var total int64
	d := json.NewDecoder(z)
	for {
		var e storage.Entry
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return total, z.Close()
		} else if err != nil {
			return 0, err
		}
		n := e.Size
		if e.Type == storage.SegmentType {
			n = int64(len(e.Payload))
		}
		if n < 0 || total > math.MaxInt64-n {
			return 0, fmt.Errorf("entry %q has a size of %d bytes", e.GetName(), n)
		}
		total += n
	}
}

// SizeOf is Size of the file at path.
func SizeOf(path string) (n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if n, err = Size(f); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// Open makes the tar of the directory dir, by the file at split. Names are resolved inside dir. A file that has another
// size or checksum than when it was unpacked is an error of reading. Close ends the work.
func Open(dir, split string) (_ io.ReadCloser, err error) {
	f, err := os.Open(split)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", split, err), f.Close())
	}
	root, err := os.Open(dir)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, w := io.Pipe()
	s := &stream{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		buffered := bufio.NewWriterSize(w, 1<<17)
		err := asm.WriteOutputTarStream(files{root}, storage.NewJSONUnpacker(z), buffered)
		if err == nil {
			err = buffered.Flush()
		}
		w.CloseWithError(errors.Join(err, root.Close(), f.Close()))
	}()
	return s, nil
}

// stream waits for its writer when it is closed.
type stream struct {
	*io.PipeReader
	done chan struct{}
}

func (s *stream) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	return err
}

// files opens what a layer's entries name, and nothing outside of its directory.
type files struct{ root *os.File }

func (f files) Get(name string) (io.ReadCloser, error) {
	file, err := inroot.Open(f.root, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
