package logfile

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"gantry/internal/fault"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// header is what a compressed segment carries in the extra field of its gzip header.
// The name and form of lastTime are Docker's.
type header struct {
	LastTime time.Time `json:"lastTime,omitzero"` // of the last message
	Inode    uint64    `json:"inode,omitempty"`   // that the segment was written as
	Modified int64     `json:"modified,omitempty"`
	// Modified is that inode's time of last change, in Unix nanoseconds: inodes are used
	// again, but not with the same time.
}

// origin identifies the file that a compressed segment was made of.
type origin struct {
	inode    uint64
	modified int64
}

var errStopped = errors.New("stopped")

// compressInBackground starts the compressor if it does not run. It takes the oldest uncompressed
// segment first and ends when there is none.
func (s *segments) compressInBackground() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return
	}
	s.running = true
	s.work.Go(func() {
		for s.compressOne() {
		}
	})
}

// compressOne reports whether to go on.
func (s *segments) compressOne() bool {
	plain, err := s.oldestPlain()
	if plain == nil {
		if err != nil {
			slog.Warn("a container's rotated log cannot be compressed", "path", s.cfg.Path, "error", err)
		}
		return false
	}
	temporary := s.cfg.Path + ".tmp" + gzipSuffix
	err = s.compress(plain, temporary)
	if err == nil {
		err = s.replace(plain, temporary)
	}
	err = errors.Join(err, plain.Close())
	if err == nil {
		return true
	}
	if !errors.Is(err, errStopped) {
		slog.Warn("a container's rotated log cannot be compressed", "path", s.cfg.Path, "error", err)
	}
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		slog.Warn("removing an unfinished log segment", "path", temporary, "error", err)
	}
	s.mu.Lock()
	s.running = false
	s.mu.Unlock()
	return false
}

// oldestPlain opens the next segment to compress; without one the compressor is at its end. A
// segment that is there in both forms was compressed before a crash: its plain form goes.
func (s *segments) oldestPlain() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := rotatedNames(s.cfg.Path)
	if err == nil {
		err = s.dropCompressed(have)
	}
	oldest := 0
	for i, suffixes := range have {
		if slices.Contains(suffixes, "") {
			oldest = max(oldest, i)
		}
	}
	if err != nil || oldest == 0 {
		s.running = false
		return nil, err
	}
	f, err := openSegment(segmentName(s.cfg.Path, oldest, ""))
	if err != nil {
		s.running = false
	}
	return f, err
}

func (s *segments) compress(plain *os.File, to string) (err error) {
	info, id, err := identify(plain)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	zw := gzip.NewWriter(out)
	// A segment is changed last when its last message is written.
	zw.Extra, err = json.Marshal(header{LastTime: info.ModTime().UTC(), Inode: id.inode, Modified: id.modified})
	if err != nil {
		return err
	}
	if _, err := io.Copy(zw, stoppable{plain, s.stopped}); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	// The plain form is removed next: the compressed one has to survive a power cut.
	return out.Sync()
}

// replace puts the compressed form where the plain one is by now, unless it was rotated out.
func (s *segments) replace(plain *os.File, temporary string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := plain.Stat()
	if err != nil {
		return err
	}
	for i := 1; i < s.cfg.MaxFiles; i++ {
		name := segmentName(s.cfg.Path, i, "")
		if at, err := os.Lstat(name); err != nil || !os.SameFile(at, info) {
			continue
		}
		if err := os.Rename(temporary, name+gzipSuffix); err != nil {
			return err
		}
		fault.Point("logfile.compress.renamed")
		return os.Remove(name)
	}
	return os.Remove(temporary)
}

// stoppable is a reader that fails once stopped is closed.
type stoppable struct {
	io.Reader
	stopped <-chan struct{}
}

func (r stoppable) Read(p []byte) (int, error) {
	select {
	case <-r.stopped:
		return 0, errStopped
	default:
		return r.Reader.Read(p)
	}
}
