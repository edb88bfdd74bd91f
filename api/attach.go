package api

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"

	"gantry/container/stdio"

	"github.com/coder/websocket"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
)

// attachments connects clients to the stdio of containers.
type attachments struct {
	svc attacher
	log *slog.Logger
}

// attach takes the connection over. Errors are answered before that.
func (a attachments) attach(w *response, r *request) error {
	keys, err := detachKeys(r)
	if err != nil {
		return err
	}
	o := stdio.AttachOptions{
		Stdin: r.flag("stdin"), Stdout: r.flag("stdout"), Stderr: r.flag("stderr"), Stream: r.flag("stream"), Logs: r.flag("logs"),
	}
	attached, err := a.svc.Attach(r.Context(), r.id(), o)
	if err != nil {
		return err
	}
	stream := attached.Stream
	if stream != nil {
		defer stream.Close()
	}
	c, release, err := hijack(w, r, streamMedia(attached.Tty, r.version))
	if err != nil {
		return err
	}
	defer release()
	if attached.Logs != nil {
		out := logWriter{to: c, frames: !attached.Tty}
		if err := out.all(attached.Logs, nil); err != nil {
			a.log.Debug("attach: the log ended early", "container", r.id(), "error", err)
		}
	}
	if stream == nil {
		return nil
	}
	rl := &relay{client: c, stream: stream, stdin: o.Stdin}
	if attached.Tty {
		rl.keys = keys
	}
	r.server.streams.endWith(c.Conn, rl.stop)
	rl.run()
	return nil
}

func detachKeys(r *request) ([]byte, error) {
	text := r.param("detachKeys")
	keys, err := parseDetachKeys(text)
	if err != nil {
		return nil, invalid("Invalid detach keys (%s) provided", text)
	}
	return keys, nil
}

// attachWebSocket carries output without frames. Before 1.42 all streams were attached, before 1.28 messages were text.
func (a attachments) attachWebSocket(w *response, r *request) error {
	keys, err := detachKeys(r)
	if err != nil {
		return err
	}
	o := stdio.AttachOptions{Stdin: true, Stdout: true, Stderr: true, Stream: r.flag("stream"), Logs: r.flag("logs")}
	if !r.version.before(42) {
		o.Stdin, o.Stdout, o.Stderr = r.flag("stdin"), r.flag("stdout"), r.flag("stderr")
	}
	if r.Header.Get("Upgrade") == "" {
		return errdefs.ErrInvalidArgument.WithMessage("the connection must be upgraded to a WebSocket")
	}
	attached, err := a.svc.Attach(r.Context(), r.id(), o)
	if err != nil {
		return err
	}
	if attached.Stream != nil {
		defer attached.Stream.Close()
	}
	// Whether a web page may connect is settled by guard.
	conn, err := websocket.Accept(w, r.Request, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // answered
	}
	defer conn.CloseNow()
	ws := &socket{conn: conn, kind: websocket.MessageBinary}
	if r.version.before(28) {
		ws.kind = websocket.MessageText
	}
	var end context.CancelFunc
	ws.ctx, end = context.WithCancel(r.Context())
	defer end()
	if !r.server.streams.add(ws, end) {
		return nil
	}
	defer r.server.streams.remove(ws)
	return ws.serve(attached, o.Stdin, keys)
}

// payloads strips the headers of the frames that a stream without a terminal consists of.
type payloads struct {
	from io.Reader
	left uint32 // of the current frame
}

func (p *payloads) Read(b []byte) (int, error) {
	for p.left == 0 {
		var head [8]byte
		if _, err := io.ReadFull(p.from, head[:]); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = io.EOF
			}
			return 0, err
		}
		p.left = binary.BigEndian.Uint32(head[4:])
	}
	n, err := p.from.Read(b[:min(uint32(len(b)), p.left)])
	p.left -= uint32(n)
	return n, err
}

// writeFrame sends text as a frame of a stream.
func writeFrame(w io.Writer, stream stdcopy.StdType, text []byte) error {
	frame := binary.BigEndian.AppendUint32([]byte{byte(stream), 0, 0, 0}, uint32(len(text)))
	_, err := w.Write(append(frame, text...))
	return err
}

func (a attachments) resize(w *response, r *request) error {
	height, width, err := terminalSize(r)
	if err != nil {
		return err
	}
	return a.svc.Resize(r.Context(), r.id(), height, width)
}

// terminalSize reads the parameters h and w.
func terminalSize(r *request) (height, width uint, err error) {
	for key, to := range map[string]*uint{"h": &height, "w": &width} {
		n, _, err := r.number(key)
		if err != nil || n < 0 || n > 1<<16-1 {
			what := map[string]string{"h": "height", "w": "width"}[key]
			return 0, 0, invalid("invalid resize %s %q: it must be a number from 0 to 65535", what, r.param(key))
		}
		*to = uint(n)
	}
	return height, width, nil
}
