package logfile

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"time"
)

// walk goes from the current segment to older ones while a writer may rotate them. A
// segment only ever moves to a higher number. So when one is found at a number, and the segment before it
// was at its own number both before and after that, then the two are neighbours.
type walk struct {
	path  string
	prev  *segment // found last; nil when there is no current segment
	index int      // its number
}

// newestFirst opens the segments of a log, the current one first. The caller closes them, but not before the
// sequence has ended: an open file's inode is not used again.
func newestFirst(path string) iter.Seq2[*segment, error] {
	return func(yield func(*segment, error) bool) {
		w := &walk{path: path}
		s, err := w.first()
		for err == nil && s != nil {
			w.prev = s
			if !yield(s, nil) {
				return
			}
			s, err = w.next()
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// first opens the current segment. It is not there for a moment while it is rotated; if the
// moment does not pass, nobody writes to this log.
func (w *walk) first() (*segment, error) {
	for range 3 {
		s, err := open(w.path, false)
		if s != nil || err != nil {
			return s, err
		}
		last, err := lastNumber(w.path)
		if err != nil || last == 0 {
			return nil, err
		}
		time.Sleep(time.Millisecond)
	}
	return w.next()
}

// next opens the segment after prev; nil at the end.
func (w *walk) next() (*segment, error) {
	for {
		s, index, err := w.openAfter(w.index)
		if err != nil {
			return nil, err
		}
		now := w.index
		if w.prev != nil {
			now, err = w.locate()
		}
		if err == nil && now == w.index {
			w.index = index
			return s, nil
		}
		if s != nil {
			s.close()
		}
		if err != nil || now < 0 {
			return nil, err // rotated out, and all that are older as well
		}
		w.index = now
	}
}

// openAfter opens the segment that follows the one at index. While that one stays where it is, its neighbour is at
// the next number, or at the one after that: a rotation moves the older ones first. After a
// crash, or in a log that somebody has tidied, more numbers may be missing.
func (w *walk) openAfter(index int) (*segment, int, error) {
	last := index + 2
	for i := index + 1; i <= last; i++ {
		// The plain form first: it is removed only when the other is in place.
		for _, suffix := range []string{"", gzipSuffix} {
			s, err := open(segmentName(w.path, i, suffix), suffix != "")
			if s != nil || err != nil {
				return s, i, err
			}
		}
		if i == index+2 {
			number, err := lastNumber(w.path)
			if err != nil {
				return nil, index, err
			}
			last = max(last, number)
		}
	}
	return nil, index, nil
}

// locate returns where prev is by now, and -1 if it is gone.
func (w *walk) locate() (int, error) {
	last := w.index + 1
	for i := w.index; i <= last; i++ {
		found, err := w.isAt(i)
		if found || err != nil {
			return i, err
		}
		if i == last {
			number, err := lastNumber(w.path)
			if err != nil {
				return -1, err
			}
			last = max(last, number+1)
		}
	}
	return -1, nil
}

// isAt reports whether prev has the number i, in either form.
func (w *walk) isAt(i int) (bool, error) {
	if inode, ok := inodeOf(segmentName(w.path, i, "")); ok && inode == w.prev.inode {
		return true, nil
	}
	if i == 0 {
		return false, nil
	}
	s, err := open(segmentName(w.path, i, gzipSuffix), true)
	if s == nil || err != nil {
		return false, err
	}
	defer s.close()
	return s.same(w.prev), nil
}

func inodeOf(path string) (uint64, bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*unixStat)
	if !ok {
		return 0, false
	}
	return st.Ino, true
}

func lastNumber(path string) (int, error) {
	have, err := rotatedNames(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	last := 0
	for i := range have {
		last = max(last, i)
	}
	return last, err
}
