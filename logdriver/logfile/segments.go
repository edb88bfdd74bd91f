package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"gantry/internal/fault"
)

const gzipSuffix = ".gz"

// segments is the writer's side of the rotated files. Two goroutines rename them: the
// writer, and the compressor.
type segments struct {
	cfg Config

	// mu keeps the two from renaming at the same time. It is held for a few renames,
	// never while data is read or written.
	mu      sync.Mutex
	running bool // a compressor is at work
	stopped chan struct{}
	once    sync.Once
	work    sync.WaitGroup
}

func newSegments(cfg Config) *segments {
	return &segments{cfg: cfg, stopped: make(chan struct{})}
}

// stop ends the compressor and waits for it.
func (s *segments) stop() {
	s.once.Do(func() { close(s.stopped) })
	s.work.Wait()
}

// shift makes the current file Path.1 and returns an empty one at Path. Until the last
// rename the log is as it was; a crash between two renames leaves a gap in the
// numbers, which readers step over and the next shift closes.
func (s *segments) shift() (*os.File, error) {
	fresh := s.cfg.Path + ".new"
	f, err := openAppend(fresh, os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	fault.Point("logfile.rotate.created")
	if err := s.rename(fresh); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(fresh))
	}
	if s.cfg.Compress {
		s.compressInBackground()
	}
	return f, nil
}

func (s *segments) rename(fresh string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := rotatedNames(s.cfg.Path)
	if err != nil {
		return err
	}
	if err := s.dropFrom(have, s.cfg.MaxFiles-1); err != nil {
		return err
	}
	if err := s.dropCompressed(have); err != nil {
		return err
	}
	free := 1
	for len(have[free]) > 0 {
		free++
	}
	for i := free - 1; i >= 1; i-- {
		for _, suffix := range have[i] {
			if err := os.Rename(segmentName(s.cfg.Path, i, suffix), segmentName(s.cfg.Path, i+1, suffix)); err != nil {
				return err
			}
		}
	}
	fault.Point("logfile.rotate.shifted")
	if s.cfg.MaxFiles > 1 {
		if err := os.Rename(s.cfg.Path, segmentName(s.cfg.Path, 1, "")); err != nil {
			return err
		}
	}
	fault.Point("logfile.rotate.moved")
	return os.Rename(fresh, s.cfg.Path)
}

// dropFrom removes what would be pushed beyond the last number, and what is beyond it since
// the limit was higher.
func (s *segments) dropFrom(have map[int][]string, last int) error {
	for i, suffixes := range have {
		if i < last {
			continue
		}
		for _, suffix := range suffixes {
			if err := os.Remove(segmentName(s.cfg.Path, i, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		delete(have, i)
	}
	return nil
}

// dropCompressed removes the plain form of each segment that a crash has left in both. Renumbered one
// after the other, the two would be two neighbours to a reader that looks in between.
func (s *segments) dropCompressed(have map[int][]string) error {
	for i, suffixes := range have {
		if len(suffixes) < 2 {
			continue
		}
		if err := os.Remove(segmentName(s.cfg.Path, i, "")); err != nil {
			return err
		}
		have[i] = []string{gzipSuffix}
	}
	return nil
}

func segmentName(path string, i int, suffix string) string {
	if i == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d%s", path, i, suffix)
}

// rotatedNames lists the suffixes, "" and ".gz", of each number that a rotated segment of the log has.
func rotatedNames(path string) (map[int][]string, error) {
	d, err := os.Open(dir(path))
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	have := map[int][]string{}
	prefix := filepath.Base(path) + "."
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		number, gz := strings.CutSuffix(rest, gzipSuffix)
		i, err := strconv.Atoi(number)
		if err != nil || i < 1 || strconv.Itoa(i) != number {
			continue
		}
		suffix := ""
		if gz {
			suffix = gzipSuffix
		}
		have[i] = append(have[i], suffix)
	}
	return have, nil
}
