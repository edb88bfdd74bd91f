package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"gantry/container/stdio"

	"github.com/coder/websocket"
)

// webSocketed is a route that connects a WebSocket with an attached container.
func webSocketed(a *stdio.Attached) route {
	return route{"GET", "/ws", 0, func(w *response, r *request) error {
		conn, err := websocket.Accept(w, r.Request, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return nil
		}
		defer conn.CloseNow()
		s := &socket{ctx: r.Context(), conn: conn, kind: websocket.MessageBinary}
		if r.version.before(28) {
			s.kind = websocket.MessageText
		}
		return s.serve(a, true, defaultDetachKeys)
	}}
}

func dialWebSocket(t *testing.T, path, target string) *websocket.Conn {
	t.Helper()
	httpc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	c, _, err := websocket.Dial(t.Context(), "ws://d"+target, &websocket.DialOptions{HTTPClient: httpc})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func TestWebSocketCarriesPlainOutput(t *testing.T) {
	for target, kind := range map[string]websocket.MessageType{"/ws": websocket.MessageBinary, "/v1.28/ws": websocket.MessageBinary, "/v1.27/ws": websocket.MessageText} {
		stream, process := newStream(t)
		path := listen(t, open(t, Config{}, webSocketed(&stdio.Attached{Stream: stream, Logs: sequence(messagesOf("before"), nil)})))
		c := dialWebSocket(t, path, target)
		c.Write(t.Context(), websocket.MessageText, []byte("in"))
		c.Write(t.Context(), websocket.MessageBinary, []byte("put"))
		in := make([]byte, 5)
		if _, err := io.ReadFull(process, in); err != nil || string(in) != "input" {
			t.Fatalf("%q %v", in, err)
		}
		writeFrame(process, 1, []byte("out"))
		got := ""
		for got != "before\nout" {
			typ, text, err := c.Read(t.Context())
			if err != nil || typ != kind {
				t.Fatalf("%s: %v %q %v", target, typ, got, err)
			}
			got += string(text)
		}
		process.Close()
		if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestWebSocketDetaches(t *testing.T) {
	stream, process := newStream(t)
	path := listen(t, open(t, Config{}, webSocketed(&stdio.Attached{Stream: stream, Tty: true})))
	c := dialWebSocket(t, path, "/ws")
	c.Write(t.Context(), websocket.MessageText, []byte("x\x10"))
	c.Write(t.Context(), websocket.MessageText, []byte("\x11y"))
	got, _ := io.ReadAll(process)
	if string(got) != "x" || !stream.detached.Load() {
		t.Errorf("%q, told: %v", got, stream.detached.Load())
	}
}

func TestWebSocketOfAClientThatGoesEndsTheStream(t *testing.T) {
	stream, process := newStream(t)
	path := listen(t, open(t, Config{}, webSocketed(&stdio.Attached{Stream: stream})))
	dialWebSocket(t, path, "/ws").CloseNow()
	awaitClosed(t, process)
}
