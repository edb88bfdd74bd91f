package api

import (
	"context"
	"errors"
	"io"
	"sync"

	"gantry/container/stdio"

	"github.com/coder/websocket"
)

// socket is a WebSocket client of a container.
type socket struct {
	ctx  context.Context //nolint:containedctx // the connection's, as net/http's requests carry theirs
	conn *websocket.Conn
	kind websocket.MessageType
}

// Write sends one message.
func (s *socket) Write(b []byte) (int, error) {
	if err := s.conn.Write(s.ctx, s.kind, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// serve copies both ways until the output ends, the client has gone, or it detaches.
func (s *socket) serve(a *stdio.Attached, stdin bool, keys []byte) error {
	s.conn.SetReadLimit(-1) // messages are passed on in pieces
	if a.Logs != nil {
		out := logWriter{to: s}
		if err := out.all(a.Logs, nil); err != nil {
			return err
		}
	}
	if a.Stream == nil {
		return s.conn.Close(websocket.StatusNormalClosure, "")
	}
	var input sync.WaitGroup
	input.Go(func() {
		err := s.input(a, stdin, keys)
		if d, ok := a.Stream.(detacher); ok && errors.Is(err, errDetached) {
			d.Detached()
		}
		a.Stream.Close() // of a WebSocket, both directions end together
	})
	var from io.Reader = a.Stream
	if !a.Tty {
		from = &payloads{from: a.Stream}
	}
	io.Copy(onlyWriter{s}, from)
	s.conn.Close(websocket.StatusNormalClosure, "") // fails if the client was faster
	input.Wait()
	return nil
}

// input passes on messages of either kind.
func (s *socket) input(a *stdio.Attached, stdin bool, keys []byte) error {
	var from io.Reader = &messages{s: s}
	if !stdin {
		_, err := io.Copy(io.Discard, from)
		return err
	}
	if a.Tty {
		from = &detachReader{from: from, keys: keys}
	}
	_, err := io.Copy(onlyWriter{a.Stream}, from)
	return err
}

// messages reads the content of all messages as one stream.
type messages struct {
	s   *socket
	now io.Reader
}

func (m *messages) Read(b []byte) (int, error) {
	for {
		if m.now == nil {
			_, next, err := m.s.conn.Reader(m.s.ctx)
			if err != nil {
				return 0, err
			}
			m.now = next
		}
		n, err := m.now.Read(b)
		if errors.Is(err, io.EOF) {
			m.now, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}
