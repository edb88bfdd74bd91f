package stdio

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Sink takes what a pump has read. Write must not keep p; Idle is called when there is nothing more to
// read for now, End when there never will be.
type Sink interface {
	Write(p []byte)
	Idle()
	End()
}

// Pump copies from a descriptor to a sink until the end.
type Pump struct {
	file    *os.File
	sink    Sink
	buffers *Buffers

	draining  atomic.Bool
	drainOnce sync.Once
	drained   chan struct{} // closed when everything that was there at Drain has been taken
	done      chan struct{} // closed after the sink's End
	stopped   atomic.Bool   // Halt was called: the sink is not to be ended
}

// NewPump returns a pump over a non-blocking descriptor, which it owns. Run makes it work.
func NewPump(file *os.File, sink Sink, buffers *Buffers) *Pump {
	return &Pump{file: file, sink: sink, buffers: buffers, drained: make(chan struct{}), done: make(chan struct{})}
}

// File is the descriptor that is read.
func (p *Pump) File() *os.File { return p.file }

// Done is closed when the end has been reached and the sink has been told.
func (p *Pump) Done() <-chan struct{} { return p.done }

// Run copies until the end of the stream, or Close, or Halt.
func (p *Pump) Run() {
	defer close(p.done)
	defer p.markDrained()
	for {
		ended, err := p.pass()
		if p.stopped.Load() {
			return
		}
		if ended || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			p.sink.End()
			return
		}
		if err != nil && p.file.SetReadDeadline(time.Time{}) != nil {
			p.sink.End()
			return
		}
	}
}

// pass reads until the end, or until a deadline wakes it.
func (p *Pump) pass() (ended bool, err error) {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return true, err
	}
	err = raw.Read(func(fd uintptr) bool {
		more := p.readAll(int(fd))
		ended = !more
		return !more || p.stopped.Load()
	})
	return ended, err
}

// readAll takes what is there, and reports whether more may come.
func (p *Pump) readAll(fd int) bool {
	buf := p.buffers.chunks.get()
	defer p.buffers.chunks.put(buf)
	for !p.stopped.Load() {
		draining := p.draining.Load()
		n, err := unix.Read(fd, *buf)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			p.sink.Idle()
			if draining {
				p.markDrained()
			}
			return true
		case err != nil || n == 0: // EIO: the last one closed the terminal
			return false
		default:
			p.sink.Write((*buf)[:n])
		}
	}
	return true
}

func (p *Pump) markDrained() { p.drainOnce.Do(func() { close(p.drained) }) }

// Drain waits until everything that the descriptor held when it was called is with the sink, or ctx ends.
func (p *Pump) Drain(ctx context.Context) {
	p.draining.Store(true)
	_ = p.file.SetReadDeadline(past()) // fails only when it is closed: then Run is done, or about to be
	select {
	case <-p.drained:
	case <-p.done:
	case <-ctx.Done():
	}
}

// Halt stops reading and leaves the descriptor open, and what it holds unread. It waits for Run, or
// for ctx.
func (p *Pump) Halt(ctx context.Context) error {
	p.stopped.Store(true)
	_ = p.file.SetReadDeadline(past())
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the descriptor; Run ends.
func (p *Pump) Close() error { return p.file.Close() }
