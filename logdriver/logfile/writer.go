package logfile

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"gantry/logdriver"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how much is gathered before it is written although nobody flushed, in bytes.
	batchSize = 128 << 10
	// heldSize bounds what is kept while the file cannot be written, in bytes.
	heldSize = 2 * batchSize
	// firstSize is what an idle writer's buffer starts at: most bursts are a few lines.
	firstSize = 1 << 10
)

// Config says where a log is and how it is bounded.
type Config struct {
	Path     string
	MaxSize  int64 // of a segment, in bytes; 0 for no bound
	MaxFiles int   // segments kept, the current one included; at least 1
	Compress bool  // rotated segments
}

// Writer appends records to a log. An idle one holds a descriptor and no buffer.
type Writer struct {
	cfg     Config
	format  Format
	f       *os.File
	size    int64  // of f
	retry   int64  // size at which rotation is tried again after it failed
	buf     []byte // records that are not written yet
	rotated *segments
}

// Open opens the log for appending, makes it if it is not there, and mends what a
// crash has left of its last record.
func Open(cfg Config, format Format) (*Writer, error) {
	cfg.MaxFiles = max(cfg.MaxFiles, 1)
	f, err := openAppend(cfg.Path, 0)
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, format: format, f: f, rotated: newSegments(cfg)}
	if err := w.repair(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if cfg.Compress {
		w.rotated.compressInBackground()
	}
	return w, nil
}

// openAppend opens a log without following a link that somebody has put in its place. It can be read,
// too, for the sake of repair.
func openAppend(path string, flags int) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, fileMode)
}

func (w *Writer) repair() error {
	info, err := w.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &os.PathError{Op: "open", Path: w.cfg.Path, Err: errors.New("not a regular file")}
	}
	w.size, err = w.format.Repair(w.f, info.Size())
	return err
}

// Log adds a message to what is written with the next Flush, or when enough has come
// together. While the disk refuses (it may be full), messages are kept up to a bound; beyond
// it they are lost, each with the error.
func (w *Writer) Log(m *logdriver.Message) error {
	if w.cfg.MaxSize > 0 && w.size+int64(len(w.buf)) >= max(w.cfg.MaxSize, w.retry) {
		w.rotate()
	}
	if len(w.buf) >= heldSize {
		if err := w.write(); err != nil {
			return err
		}
	}
	if w.buf == nil {
		w.buf = make([]byte, 0, firstSize)
	}
	w.buf = w.format.Append(w.buf, m)
	if len(w.buf) >= batchSize {
		// The error is that of the message that finds no room any more.
		_ = w.write()
	}
	return nil
}

// Flush writes what was logged and gives the buffer back.
func (w *Writer) Flush() error {
	if err := w.write(); err != nil {
		return err
	}
	w.buf = nil
	return nil
}

// Close writes what was logged. A compression that is under way is given up: the
// next writer of this log takes it up again.
func (w *Writer) Close() error {
	if w.f == nil {
		return nil
	}
	err := w.write()
	w.rotated.stop()
	err = errors.Join(err, w.f.Close())
	w.f, w.buf = nil, nil
	return err
}

// write empties the buffer. When the file takes only a part, the whole records among it
// stay, the torn one is cut off again, and it and the rest are kept for another attempt.
func (w *Writer) write() error {
	if len(w.buf) == 0 {
		return nil
	}
	n, err := w.f.Write(w.buf)
	if err == nil {
		w.size += int64(n)
		w.buf = w.buf[:0]
		return nil
	}
	whole := w.whole(w.buf[:max(n, 0)])
	if n > whole {
		// By the file's own size: somebody may have truncated it since.
		if info, statErr := w.f.Stat(); statErr == nil {
			err = errors.Join(err, w.f.Truncate(max(0, info.Size()-int64(n-whole))))
		}
	}
	w.size += int64(whole)
	w.buf = append(w.buf[:0], w.buf[whole:]...)
	return err
}

// whole returns how many bytes of data are whole records.
func (w *Writer) whole(data []byte) int {
	total := 0
	for {
		n, _, err := w.format.Split(data[total:])
		if n == 0 || err != nil {
			return total
		}
		total += n
	}
}

// rotate starts a new segment. Where that fails the present one grows on: a log that is too
// long is better than one with a hole.
func (w *Writer) rotate() {
	if err := w.write(); err != nil {
		return // told to the message that finds no room
	}
	if info, err := w.f.Stat(); err == nil && info.Size() < w.size {
		w.size = info.Size() // truncated from outside: there is room again
		if w.size < w.cfg.MaxSize {
			return
		}
	}
	next, err := w.rotated.shift()
	if err != nil {
		w.retry = w.size + max(w.cfg.MaxSize/16, batchSize)
		slog.Warn("a container's log cannot be rotated", "path", w.cfg.Path, "error", err)
		return
	}
	if err := w.f.Close(); err != nil {
		slog.Warn("closing a rotated log", "path", w.cfg.Path, "error", err)
	}
	w.f, w.size, w.retry = next, 0, 0
}

// dir is the directory of a log, which readers watch.
func dir(path string) string { return filepath.Dir(path) }
