package api

import (
	"encoding/json"
	"sync"

	"github.com/moby/moby/api/types/jsonstream"
)

// progress reports a long operation as JSON messages, one a line. Its status is 200 from the beginning: an error is a message, too.
type progress struct {
	mu      sync.Mutex // guards out
	out     *response
	encoder *json.Encoder
	quiet   bool // no progress of single layers
}

// progressMessage has the error in its first place, too: clients older than errorDetail read that, and some still do.
type progressMessage struct {
	jsonstream.Message
	ErrorMessage string `json:"error,omitempty"`
}

func newProgress(out *response, quiet bool) *progress {
	out.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return &progress{out: out, encoder: encoder, quiet: quiet}
}

// send may be called from several goroutines.
func (p *progress) send(m jsonstream.Message) {
	if p.quiet && (m.Progress != nil || m.ID != "") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.encoder.Encode(progressMessage{Message: m})
	p.out.Flush()
}

// end reports how it went. An operation without any message has a body of none.
func (p *progress) end(err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text := err.Error()
	p.encoder.Encode(progressMessage{jsonstream.Message{Error: &jsonstream.Error{Message: text}}, text})
}
