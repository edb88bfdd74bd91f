package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"sync"
)

// response remembers what became of an answer.
type response struct {
	http.ResponseWriter
	status   int // 0 while nothing is sent
	hijacked bool
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Flush sends what was written so far, the header at least.
func (w *response) Flush() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = err == nil
	return conn, rw, err
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// buffers hold JSON until it is known to be whole.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled keeps one large answer from holding its memory for ever.
const maxPooled = 256 << 10

// writeJSON answers with a value. Nothing is sent if it cannot be encoded.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= maxPooled {
			b.Reset()
			buffers.Put(b)
		}
	}()
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // a client that has gone is nobody's error
	return nil
}

// writeList answers with an array, encoded and sent in pieces: `ps -a` of thousands of containers needs no memory for all of them.
func writeList[T any](w http.ResponseWriter, items []T) error {
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		b.Reset()
		buffers.Put(b)
	}()
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	w.Header().Set("Content-Type", "application/json")
	b.WriteByte('[')
	for i := range items {
		if i > 0 {
			b.Truncate(b.Len() - 1) // the encoder's newline
			b.WriteByte(',')
		}
		if err := encoder.Encode(&items[i]); err != nil {
			return err
		}
		if b.Len() >= 32<<10 {
			if _, err := w.Write(b.Bytes()[:b.Len()-1]); err != nil {
				return nil // the client has gone
			}
			b.Reset()
			b.WriteByte('\n') // stands for the encoder's
		}
	}
	if len(items) > 0 {
		b.Truncate(b.Len() - 1)
	}
	b.WriteString("]\n")
	w.Write(b.Bytes())
	return nil
}

// created is the answer to what made something.
func created(w http.ResponseWriter, value any) error { return writeJSON(w, http.StatusCreated, value) }

// ok is an answer with a value.
func ok(w http.ResponseWriter, value any) error { return writeJSON(w, http.StatusOK, value) }

// done is an answer without a body.
func done(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}
