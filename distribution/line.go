package distribution

import (
	"sync"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
)

// barInterval is how often a bar moves.
const barInterval = 100 * time.Millisecond

// line is one layer's line in the progress of a pull or push.
type line struct {
	to Progress
	id string

	mu   sync.Mutex // guards the rest
	last string
	next time.Time
}

func newLine(to Progress, d digest.Digest) *line { return &line{to: to, id: short(d)} }

// say shows a status, once.
func (l *line) say(status string) {
	l.mu.Lock()
	again := l.last == status
	l.last = status
	l.mu.Unlock()
	if !again {
		l.to(jsonstream.Message{ID: l.id, Status: status, Progress: &jsonstream.Progress{}})
	}
}

// bar shows how far something is, in bytes, if it is time for that.
func (l *line) bar(status string, current, total int64) {
	now := time.Now()
	l.mu.Lock()
	skip := l.last == status && now.Before(l.next) && current < total
	if !skip {
		l.last, l.next = status, now.Add(barInterval)
	}
	l.mu.Unlock()
	if !skip {
		l.to(jsonstream.Message{ID: l.id, Status: status, Progress: &jsonstream.Progress{Current: current, Total: total}})
	}
}

// short is a digest as it stands at the beginning of a line.
func short(d digest.Digest) string {
	hex := d.Encoded()
	return hex[:min(12, len(hex))]
}
