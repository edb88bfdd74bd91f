package api

import (
	"net/http"
	"sync"
)

// batchLimit is how much may wait for a slow client, in bytes, before its log reader waits for it.
const batchLimit = 256 << 10

// batcher sends what is written to it at once, and while it is sending gathers the rest: a quiet log reaches the client
// message by message, a busy one in large pieces.
type batcher struct {
	to *response

	mu      sync.Mutex // guards waiting, ended
	changed *sync.Cond
	waiting []byte
	ended   bool

	failed chan struct{} // closed when the client has gone
	done   sync.WaitGroup
}

func newBatcher(to *response) *batcher {
	b := &batcher{to: to, failed: make(chan struct{})}
	b.changed = sync.NewCond(&b.mu)
	to.Flush() // the header
	b.done.Go(b.send)
	return b
}

// Write takes a copy.
func (b *batcher) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting) >= batchLimit && !b.ended {
		b.changed.Wait()
	}
	if b.ended {
		return 0, http.ErrAbortHandler
	}
	b.waiting = append(b.waiting, p...)
	b.changed.Broadcast()
	return len(p), nil
}

// close sends the rest and waits for it.
func (b *batcher) close() {
	b.mu.Lock()
	b.ended = true
	b.changed.Broadcast()
	b.mu.Unlock()
	b.done.Wait()
}

func (b *batcher) send() {
	var sending []byte
	for {
		b.mu.Lock()
		for len(b.waiting) == 0 && !b.ended {
			b.changed.Wait()
		}
		sending, b.waiting = b.waiting, sending[:0]
		last := b.ended && len(sending) == 0
		b.changed.Broadcast()
		b.mu.Unlock()
		if last {
			return
		}
		if _, err := b.to.Write(sending); err != nil {
			b.fail()
			return
		}
		b.to.Flush()
		if cap(sending) > logBuffer {
			sending = nil // a burst is over some time, its memory too
		}
	}
}

func (b *batcher) fail() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.changed.Broadcast()
	close(b.failed)
}
