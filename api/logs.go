package api

import (
	"encoding/binary"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gantry/container/stdio"
	"gantry/logdriver"

	"github.com/moby/moby/api/pkg/stdcopy"
)

// stampFormat is RFC 3339 with nine digits of a second, so that lines are aligned.
const stampFormat = "2006-01-02T15:04:05.000000000Z07:00"

func (a attachments) logs(w *response, r *request) error {
	o := stdio.LogsOptions{Stdout: r.flag("stdout"), Stderr: r.flag("stderr"), Follow: r.flag("follow"), Tail: -1}
	if !o.Stdout && !o.Stderr {
		return invalid("Bad parameters: you must choose at least one stream")
	}
	var err error
	if o.Since, err = instant("since", r.param("since"), time.Now()); err != nil {
		return err
	}
	if !r.version.before(35) {
		if o.Until, err = instant("until", r.param("until"), time.Now()); err != nil {
			return err
		}
		if o.Until.Equal(time.Unix(0, 0)) {
			o.Until = time.Time{} // what the CLI sends for no bound
		}
	}
	if n, err := strconv.Atoi(r.param("tail")); err == nil {
		o.Tail = n // what is not a number means all
	}
	ctx, cancel := r.server.untilEnd(r.Context())
	defer cancel()
	messages, tty, err := a.svc.Logs(ctx, r.id(), o)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", streamMedia(tty, r.version))
	w.WriteHeader(http.StatusOK)
	out := logWriter{frames: !tty, stamps: r.flag("timestamps"), details: r.flag("details")}
	if !o.Follow {
		out.to = w
		return out.broken(out.all(messages, nil))
	}
	batch := newBatcher(w)
	defer batch.close()
	out.to = batch
	return out.broken(out.all(messages, batch.failed))
}

// logWriter writes messages as a client of logs or attach expects them.
type logWriter struct {
	to              io.Writer
	frames          bool // else raw, for a terminal
	stamps, details bool

	middle [3]bool // by stream: the last message was a part of a line that goes on
	buffer []byte
}

// logBuffer is how much is gathered before it is written, in bytes.
const logBuffer = 32 << 10

// all writes the messages until they end, writing fails or stop is closed; a batcher as its target is never kept waiting.
func (l *logWriter) all(messages iter.Seq2[*logdriver.Message, error], stop <-chan struct{}) error {
	_, live := l.to.(*batcher)
	l.buffer = make([]byte, 0, logBuffer+logdriver.PartSize)
	for m, err := range messages {
		if err != nil {
			l.flush()
			return err
		}
		l.add(m)
		if live || len(l.buffer) >= logBuffer {
			if l.flush() != nil {
				return nil // the client has gone
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
	l.flush()
	return nil
}

// broken tells the client, who has its status already, that the log could not be read to its end.
func (l *logWriter) broken(err error) error {
	if err == nil {
		return nil
	}
	text := []byte("Error grabbing logs: " + err.Error() + "\n")
	if !l.frames {
		l.to.Write(text)
		return nil
	}
	return writeFrame(l.to, stdcopy.Systemerr, text)
}

func (l *logWriter) flush() error {
	_, err := l.to.Write(l.buffer)
	l.buffer = l.buffer[:0]
	return err
}

// add appends one message; the parts of a long line are put together again.
func (l *logWriter) add(m *logdriver.Message) {
	stream := stdcopy.Stdout
	if m.Source == "stderr" {
		stream = stdcopy.Stderr
	}
	start := len(l.buffer)
	if l.frames {
		l.buffer = append(l.buffer, byte(stream), 0, 0, 0, 0, 0, 0, 0)
	}
	text := len(l.buffer)
	if !l.middle[stream] {
		if l.stamps {
			l.buffer = append(m.Time.UTC().AppendFormat(l.buffer, stampFormat), ' ')
		}
		if l.details {
			l.buffer = append(appendAttrs(l.buffer, m.Attrs), ' ')
		}
	}
	l.buffer = append(l.buffer, m.Line...)
	if !m.Partial {
		l.buffer = append(l.buffer, '\n')
	}
	l.middle[stream] = m.Partial
	if l.frames {
		binary.BigEndian.PutUint32(l.buffer[start+4:], uint32(len(l.buffer)-text))
	}
}

// appendAttrs writes details as the CLI reads them: escaped like a query, between commas.
func appendAttrs(b []byte, attrs []logdriver.Attr) []byte {
	for i, a := range attrs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, url.QueryEscape(a.Key)+"="+url.QueryEscape(a.Value)...)
	}
	return b
}
