package stdio

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"gantry/task/protocol"

	"golang.org/x/sys/unix"
)

// queueSize is how far a subscriber may be behind in memory, in bytes.
const queueSize = 1 << 20

// stallTime is how long a subscriber may take nothing before it stops holding the process back.
const stallTime = time.Second

// frameSize is the most data in one frame, in bytes: what clients of dockerd are used to.
const frameSize = 32 << 10

// Wants says what a subscriber is connected to.
type Wants struct {
	Stdin, Stdout, Stderr bool
	CloseStdin            bool // when it half-closes, or leaves
}

// Subscriber is an attached client.
type Subscriber struct {
	fan   *Fan
	want  Wants
	file  *os.File // its socket
	stdin *Stdin

	offering sync.Mutex // the streams of a process take turns

	mu       sync.Mutex // guards what follows
	pending  queue
	flying   int      // bytes that the writer has taken and not written yet
	behind   *catchUp // nil until it is needed
	spilling bool     // output goes to behind, until the client has read all of it
	progress time.Time
	ending   bool // nothing more comes
	loose    bool // the queue has no bound for now
	gone     bool

	wake  chan struct{} // for the writer: something to write, or the end
	space chan struct{} // for who offers: something was written
	left  chan struct{} // closed when the client is disconnected
}

// Subscribe connects a client by its socket, which it owns from now on.
func (f *Fan) Subscribe(socket *os.File, want Wants, stdin *Stdin) *Subscriber {
	s := &Subscriber{
		fan: f, want: want, file: socket, stdin: stdin, progress: time.Now(), pending: queue{buffers: f.buffers},
		wake: make(chan struct{}, 1), space: make(chan struct{}, 1), left: make(chan struct{}),
	}
	if !f.add(s) {
		s.ending = true
	}
	go s.write()
	go s.read()
	return s
}

func (s *Subscriber) wants(stream byte) bool {
	if stream == protocol.Stderr {
		return s.want.Stderr
	}
	return s.want.Stdout
}

// offer queues output. It waits while the queue is full and the client takes something now and then.
func (s *Subscriber) offer(stream byte, p []byte) {
	s.offering.Lock()
	defer s.offering.Unlock()
	for len(p) > 0 {
		n := min(len(p), frameSize)
		var header []byte
		if !s.fan.terminal {
			header = protocol.AppendFrame(make([]byte, 0, protocol.FrameHeader), stream, n)
		}
		if !s.queue(header, p[:n]) {
			return
		}
		p = p[n:]
	}
}

// queue finds room for a frame; it reports false when the client is gone.
func (s *Subscriber) queue(header, data []byte) bool {
	waiting := time.Now()
	for {
		queued, gone := s.tryQueue(header, data)
		if queued || gone {
			return queued
		}
		stalled := s.wait(waiting)
		if !stalled || s.fan.catchUp == "" {
			continue
		}
		if !s.fallBehind() {
			s.leave()
			return false
		}
		waiting = time.Now()
	}
}

func (s *Subscriber) tryQueue(header, data []byte) (queued, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := len(header) + len(data)
	switch {
	case s.gone || s.ending:
		return false, true
	case s.spilling:
		queued = s.behind.append(header, data)
	case s.loose || s.pending.size+s.flying+size <= queueSize:
		s.pending.append(header)
		s.pending.append(data)
		queued = true
	}
	if queued {
		notify(s.wake)
	}
	return queued, false
}

// wait returns when something was written, or true when nothing was for stallTime.
func (s *Subscriber) wait(since time.Time) (stalled bool) {
	s.mu.Lock()
	if s.progress.After(since) {
		since = s.progress
	}
	s.mu.Unlock()
	left := time.NewTimer(stallTime - time.Since(since))
	defer left.Stop()
	select {
	case <-s.space:
		return false
	case <-left.C:
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.progress.After(since)
	}
}

// fallBehind makes what follows go to a file; it reports false when there is one and it is full, or none can be had.
func (s *Subscriber) fallBehind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spilling {
		return false
	}
	if s.behind == nil {
		var err error
		if s.behind, err = newCatchUp(s.fan.catchUp); err != nil {
			return false
		}
	}
	for len(s.pending.pieces) > 0 {
		p := s.pending.take()
		stored := s.behind.append((*p.buf)[:p.used], nil)
		s.fan.buffers.chunks.put(p.buf)
		if !stored {
			return false
		}
	}
	s.spilling = true
	return true
}

func (s *Subscriber) loosen(loose bool) {
	s.mu.Lock()
	s.loose = loose
	s.mu.Unlock()
	notify(s.space)
}

// end lets the client read what is queued, and then the end.
func (s *Subscriber) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	notify(s.wake)
}

// leave disconnects the client at once.
func (s *Subscriber) leave() {
	s.mu.Lock()
	if s.gone {
		s.mu.Unlock()
		return
	}
	s.gone = true
	behind := s.behind
	s.behind = nil
	s.pending.clear()
	s.mu.Unlock()
	s.fan.remove(s)
	notify(s.wake)
	notify(s.space)
	s.hangUp()
	close(s.left)
	if behind != nil {
		_ = behind.close()
	}
}

// hangUp closes the socket. Input that nobody took is read first: a socket that is closed over it
// would tell the client of a reset connection, where it is to see the end.
func (s *Subscriber) hangUp() {
	if raw, err := s.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.Shutdown(int(fd), unix.SHUT_RDWR)
			s.discardInput(int(fd))
		})
	}
	_ = s.file.Close() // nothing is pending that could fail
}

// write sends what is queued to the client.
func (s *Subscriber) write() {
	defer s.leave()
	for {
		p, err := s.next()
		if err != nil || p.buf == nil {
			return
		}
		err = s.send((*p.buf)[:p.used])
		s.fan.buffers.chunks.put(p.buf)
		if err != nil {
			return
		}
	}
}

var errGone = errors.New("client is gone")

// next waits for what is to be written. No piece is the end.
func (s *Subscriber) next() (piece, error) {
	for {
		p, end, err := s.tryNext()
		if end || err != nil || p.buf != nil {
			return p, err
		}
		<-s.wake
	}
}

func (s *Subscriber) tryNext() (p piece, end bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return p, false, errGone
	case s.pending.size > 0:
		p = s.pending.take()
	case s.spilling:
		p.buf = s.fan.buffers.chunks.get()
		p.used, err = s.behind.read(*p.buf)
		s.spilling = s.behind.unread() > 0
		notify(s.space)
	case s.ending:
		return p, true, nil
	}
	s.flying = p.used
	return p, false, err
}

func (s *Subscriber) send(data []byte) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for len(data) > 0 {
			n, err := unix.SendmsgN(int(fd), data, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			if err == unix.EINTR {
				continue
			}
			if err == unix.EAGAIN {
				return false
			}
			if failed = err; err != nil {
				return true
			}
			data = data[n:]
			s.wrote(n)
		}
		return true
	})
	return errors.Join(err, failed)
}

func (s *Subscriber) wrote(n int) {
	s.mu.Lock()
	s.flying = max(0, s.flying-n)
	s.progress = time.Now()
	s.mu.Unlock()
	notify(s.space)
}

// read passes the client's input on, and notices when it leaves.
func (s *Subscriber) read() {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	take := s.want.Stdin && s.stdin != nil
	if take {
		s.copyInput(raw)
		if s.want.CloseStdin || s.stdin.Once() {
			s.stdin.EndInput()
		}
	}
	err = raw.Read(func(fd uintptr) bool {
		if !take {
			s.discardInput(int(fd))
		}
		set := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(set, 0)
		return err == nil && set[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	if err == nil {
		s.leave() // both directions are shut: nobody is there
	}
}

// copyInput passes input on until the client shuts down its side.
func (s *Subscriber) copyInput(raw syscall.RawConn) {
	var data *[]byte
	var n int
	take := func(fd uintptr) bool {
		data = s.fan.buffers.chunks.get()
		var err error
		if n, err = unix.Read(int(fd), *data); err == unix.EAGAIN || err == unix.EINTR {
			s.fan.buffers.chunks.put(data) // nothing is held while the client is silent
			return false
		}
		return true
	}
	for raw.Read(take) == nil {
		if n > 0 {
			s.stdin.Write((*data)[:n])
		}
		s.fan.buffers.chunks.put(data)
		if n <= 0 {
			return
		}
	}
}

func (s *Subscriber) discardInput(fd int) {
	buf := s.fan.buffers.chunks.get()
	defer s.fan.buffers.chunks.put(buf)
	for {
		n, err := unix.Read(fd, *buf)
		if err != unix.EINTR && n <= 0 {
			return
		}
	}
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
