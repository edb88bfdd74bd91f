package drivers

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"gantry/logdriver"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

const (
	optionMode   = "mode"
	optionBuffer = "max-buffer-size"

	nonBlockingMode = "non-blocking"

	// defaultBuffer is dockerd's, in bytes.
	defaultBuffer = 1 << 20

	// overhead is what a queued message takes beside its line, in bytes: a container may write nothing
	// but newlines.
	overhead = 192
)

// bufferSize returns how many bytes of messages may wait for the driver; 0 when the
// container waits for it instead.
func bufferSize(options map[string]string) (int64, error) {
	mode := options[optionMode]
	switch mode {
	case "", "blocking", nonBlockingMode:
	default:
		return 0, errdefs.ErrInvalidArgument.WithMessage("logger: logging mode not supported: " + mode)
	}
	s, ok := options[optionBuffer]
	if ok && mode != nonBlockingMode {
		return 0, errdefs.ErrInvalidArgument.WithMessage("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
	}
	if mode != nonBlockingMode {
		return 0, nil
	}
	if !ok {
		return defaultBuffer, nil
	}
	size, err := units.RAMInBytes(s)
	if err != nil {
		return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("error parsing option max-buffer-size: %v", err))
	}
	if size <= 0 {
		return defaultBuffer, nil
	}
	return size, nil
}

// nonBlocking puts a bounded queue before a writer: what finds no room is dropped, and the
// container never waits. There is a goroutine only while something is queued.
type nonBlocking struct {
	next logdriver.Writer
	max  int64

	mu      sync.Mutex // guards what follows
	queue   []*logdriver.Message
	size    int64 // of what is queued or being written, in bytes
	running bool
	dropped uint64
	err     error // of the last write that failed, told by the next Flush
	work    sync.WaitGroup
}

func newNonBlocking(next logdriver.Writer, size int64) *nonBlocking {
	return &nonBlocking{next: next, max: size}
}

// Log queues a copy. One message always has room, however long.
func (n *nonBlocking) Log(m *logdriver.Message) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	size := int64(len(m.Line)) + overhead
	if n.size > 0 && n.size+size > n.max {
		n.dropped++
		return nil
	}
	queued := *m
	queued.Line = slices.Clone(m.Line)
	n.queue = append(n.queue, &queued)
	n.size += size
	if !n.running {
		n.running = true
		n.work.Go(n.drain)
	}
	return nil
}

// Flush does not wait: the goroutine flushes when the queue is empty.
func (n *nonBlocking) Flush() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.err
	n.err = nil
	return err
}

// Close writes what is queued.
func (n *nonBlocking) Close() error {
	n.work.Wait()
	if n.dropped > 0 {
		slog.Warn("messages of a container were dropped, because its log was too slow", "messages", n.dropped)
		n.dropped = 0
	}
	return n.next.Close()
}

func (n *nonBlocking) drain() {
	for {
		n.mu.Lock()
		batch := n.queue
		n.queue = nil
		n.mu.Unlock()
		if len(batch) == 0 {
			if n.rest(n.next.Flush()) {
				return
			}
			continue
		}
		for _, m := range batch {
			err := n.next.Log(m)
			n.mu.Lock()
			n.size -= int64(len(m.Line)) + overhead
			if err != nil {
				n.err = err
			}
			n.mu.Unlock()
		}
	}
}

// rest ends the goroutine unless something was queued meanwhile.
func (n *nonBlocking) rest(flushed error) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if flushed != nil {
		n.err = flushed
	}
	if len(n.queue) > 0 {
		return false
	}
	n.running = false
	return true
}
