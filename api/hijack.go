package api

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/moby/moby/api/types"
)

// streams are the connections taken over from HTTP, which http.Server no longer knows.
type streams struct {
	mu     sync.Mutex     // guards open and closed
	open   map[any]func() // how each is ended
	closed bool
	wg     sync.WaitGroup
}

// add reports whether the connection may live; after closeAll it may not. It is known by key.
func (s *streams) add(key any, end func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.open == nil {
		s.open = map[any]func(){}
	}
	s.open[key] = end
	s.wg.Add(1)
	return true
}

// endWith replaces how a connection is ended.
func (s *streams) endWith(key any, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		end()
		return
	}
	s.open[key] = end
}

func (s *streams) remove(key any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, key)
	s.wg.Done()
}

// closeAll cuts every stream and waits for their handlers.
func (s *streams) closeAll() {
	s.mu.Lock()
	s.closed = true
	for _, end := range s.open {
		end()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// peer is the other end of a stream: what it sent before the takeover comes first.
type peer struct {
	net.Conn
	early *bufio.Reader // nil when nothing is left in it
}

func (c *peer) Read(b []byte) (int, error) {
	if c.early == nil {
		return c.Conn.Read(b)
	}
	n, err := c.early.Read(b[:min(len(b), c.early.Buffered())])
	if c.early.Buffered() == 0 {
		c.early = nil
	}
	return n, err
}

// hijack takes the connection over and answers: 101 to a client that asked for an upgrade, else what clients before
// 1.17 expect: 200, and always the same type. The caller calls release when it has done with the client.
func hijack(w *response, r *request, media types.MediaType) (c *peer, release func(), err error) {
	conn, rw, err := w.Hijack()
	if err != nil {
		return nil, nil, err
	}
	if !r.server.streams.add(conn, func() { conn.Close() }) {
		conn.Close()
		return nil, nil, net.ErrClosed
	}
	release = func() {
		conn.Close()
		r.server.streams.remove(conn)
	}
	w.status = http.StatusOK
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + types.MediaTypeRawStream + "\r\n"
	if r.Header.Get("Upgrade") != "" {
		w.status = http.StatusSwitchingProtocols
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + media + "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
	}
	out := rw.Writer
	io.WriteString(out, head)
	w.Header().Write(out)
	io.WriteString(out, "\r\n")
	if err := out.Flush(); err != nil {
		release()
		return nil, nil, err
	}
	c = &peer{Conn: conn}
	if rw.Reader.Buffered() > 0 {
		c.early = rw.Reader
	}
	return c, release, nil
}

// streamMedia is the media type of a process's output.
func streamMedia(tty bool, at version) types.MediaType {
	if tty || at.before(42) {
		return types.MediaTypeRawStream
	}
	return types.MediaTypeMultiplexedStream
}
