package api

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"gantry/task"

	"golang.org/x/sys/unix"
)

// lingering is how long a client may take to close its side after the output has ended: to close a connection
// with unread input would make the kernel throw away output that is still on its way.
const lingering = time.Second

// relay is a process's stream and a client's connection, while bytes go to and fro.
type relay struct {
	client *peer
	stream task.Stream
	stdin  bool
	keys   []byte // that detach; nil without a terminal

	mu     sync.Mutex  // guards both
	extra  []io.Closer // further descriptors of both ends
	closed bool
}

// run copies until the output ends, the client has gone, or it detaches.
func (r *relay) run() {
	var input sync.WaitGroup
	input.Go(r.input)
	r.copy(r.client.Conn, r.stream)
	if half, ok := r.client.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	r.client.SetReadDeadline(time.Now().Add(lingering))
	limit := time.AfterFunc(lingering, r.stop) // for what waits for the process instead
	input.Wait()
	limit.Stop()
	r.stop()
}

// input copies what the client sends. When it has sent all, it may still read: only a client that has gone ends the output.
func (r *relay) input() {
	if r.stdin {
		err := r.copyInput()
		if errors.Is(err, errDetached) {
			if d, ok := r.stream.(detacher); ok {
				d.Detached()
			}
			r.stop()
			return
		}
		if err == nil {
			r.stream.CloseWrite()
		}
	}
	if _, err := io.Copy(io.Discard, r.client); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		r.stop() // reset
		return
	}
	if awaitHangup(r.client.Conn) {
		r.stop()
	}
}

// copyInput returns nil when the client has closed its side, and the process's error when it no longer reads.
func (r *relay) copyInput() error {
	if r.keys != nil {
		_, err := io.Copy(onlyWriter{r.stream}, &detachReader{from: r.client, keys: r.keys})
		return err
	}
	for r.client.early != nil {
		b := make([]byte, r.client.early.Buffered())
		n, err := r.client.Read(b)
		if err != nil {
			return err
		}
		if _, err := r.stream.Write(b[:n]); err != nil {
			return err
		}
	}
	return r.copy(r.stream, r.client.Conn)
}

// onlyWriter hides what else a writer can do from io.Copy.
type onlyWriter struct{ io.Writer }

// copy moves bytes between the client and the process, inside the kernel where both ends are sockets.
func (r *relay) copy(to io.Writer, from io.Reader) error {
	if out, in, ok := r.sockets(to, from); ok {
		_, err := io.Copy(out, in)
		return err
	}
	b := make([]byte, 32<<10)
	_, err := io.CopyBuffer(onlyWriter{to}, struct{ io.Reader }{from}, b)
	return err
}

// sockets returns both ends in the form in which io.Copy splices: *net.TCPConn takes from a socket; for a Unix socket an
// *os.File does.
func (r *relay) sockets(to io.Writer, from io.Reader) (io.Writer, io.Reader, bool) {
	in, ok := r.conn(from)
	if !ok {
		return nil, nil, false
	}
	out, ok := r.conn(to)
	if !ok {
		return nil, nil, false
	}
	switch c := out.(type) {
	case *net.TCPConn:
		return c, in, true
	case *net.UnixConn:
		f, err := c.File()
		if err != nil {
			return nil, nil, false
		}
		return f, in, r.own(f)
	}
	return nil, nil, false
}

// conn is the plain socket of an end, if it has one.
func (r *relay) conn(end any) (net.Conn, bool) {
	switch c := end.(type) {
	case *net.TCPConn:
		return c, true
	case *net.UnixConn:
		return c, true
	case task.Stream:
		f, err := c.File()
		if err != nil {
			return nil, false
		}
		defer f.Close()
		conn, err := net.FileConn(f)
		if err != nil {
			return nil, false
		}
		return conn, r.own(conn)
	}
	return nil, false
}

// own closes a descriptor with the relay; false if that is over.
func (r *relay) own(c io.Closer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.Close()
		return false
	}
	r.extra = append(r.extra, c)
	return true
}

// stop ends both directions at once.
func (r *relay) stop() {
	r.mu.Lock()
	extra := r.extra
	r.extra, r.closed = nil, true
	r.mu.Unlock()
	for _, c := range extra {
		c.Close()
	}
	r.stream.Close()
	r.client.SetDeadline(time.Unix(1, 0))
}

// awaitHangup returns when the peer of a Unix socket has closed it whole, and for any connection when it is
// reset or closed, or its deadline passes. Of a TCP peer that has closed its side, it cannot be known whether it still
// reads. False means that the connection cannot be watched.
func awaitHangup(c net.Conn) bool {
	if outer, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = outer.NetConn() // of TLS
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	raw.Read(func(fd uintptr) bool { // called again whenever something changes
		poll := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(poll, 0)
		return err == nil && n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return true
}
