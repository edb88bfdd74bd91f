package logfile

import (
	"time"

	"gantry/logdriver"
)

// tail sets the segment to begin where its last want messages do, those after until left
// out of the count, and returns how many it has of them. A compressed or damaged segment
// is counted forwards, streaming, and then read again.
func (s *segment) tail(format Format, want int, until time.Time) (int, error) {
	if s.compressed {
		return s.tailForwards(format, want, until)
	}
	got, start, err := s.tailBackwards(format, want, until)
	if err != nil {
		return s.tailForwards(format, want, until)
	}
	return got, s.begin(format, start)
}

func (s *segment) tailBackwards(format Format, want int, until time.Time) (got int, start int64, err error) {
	info, err := s.f.Stat()
	if err != nil {
		return 0, 0, err
	}
	blocks := NewBlocks(s.f)
	start, err = format.End(blocks, info.Size())
	var m logdriver.Message
	var buf []byte
	for err == nil && got < want && start > 0 {
		end := start
		start, err = format.Before(blocks, end)
		if err != nil || end-start > 2*MaxRecord {
			continue // longer than a message can be
		}
		buf = append(buf[:0], make([]byte, end-start)...)
		if _, err = blocks.ReadAt(buf, start); err != nil {
			continue
		}
		if decodes(format, buf, &m) && inTime(&m, until) {
			got++
		}
	}
	return got, start, err
}

func decodes(format Format, data []byte, m *logdriver.Message) bool {
	_, record, err := format.Split(data)
	return err == nil && record != nil && format.Decode(record, m)
}

func inTime(m *logdriver.Message, until time.Time) bool {
	return until.IsZero() || !m.Time.After(until)
}

func (s *segment) tailForwards(format Format, want int, until time.Time) (int, error) {
	if err := s.begin(format, 0); err != nil {
		return 0, err
	}
	total := 0
	var m logdriver.Message
	for {
		ok, err := s.message(format, &m)
		if !ok || err != nil {
			break // damage: what comes before it counts
		}
		if inTime(&m, until) {
			total++
		}
	}
	got := min(total, want)
	s.skip = total - got
	return got, s.begin(format, 0)
}
