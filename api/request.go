package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gantry/internal/filter"

	"github.com/containerd/errdefs"
)

// maxJSON bounds a JSON body, in bytes. The largest that clients send are containers with thousands of labels.
const maxJSON = 8 << 20

// bodyTimeout is how long a client may take to send a JSON body.
const bodyTimeout = time.Minute

// request is an HTTP request with what the routing has found out.
type request struct {
	*http.Request
	server  *Server
	version version
	query   url.Values
	values  []string // wildcards of the route, as pairs
}

// prepare reads the query. Errors: invalid argument.
func (r *request) prepare(values []string) error {
	r.values = values
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	r.query = query
	return nil
}

// name is the value of a wildcard of the route.
func (r *request) name(wildcard string) string {
	for i := 0; i+1 < len(r.values); i += 2 {
		if r.values[i] == wildcard {
			return r.values[i+1]
		}
	}
	return ""
}

// id is the container or exec that the route is about.
func (r *request) id() string { return r.name("id") }

func (r *request) param(key string) string { return r.query.Get(key) }

// flag reads a boolean as dockerd does: everything but the words for no is yes.
func (r *request) flag(key string) bool {
	switch strings.ToLower(strings.TrimSpace(r.query.Get(key))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// flagOr is flag with a value for an absent parameter.
func (r *request) flagOr(key string, absent bool) bool {
	if _, ok := r.query[key]; !ok {
		return absent
	}
	return r.flag(key)
}

// number reads an integer; absent and empty are 0 with given false. Errors: invalid argument.
func (r *request) number(key string) (n int, given bool, err error) {
	text := r.query.Get(key)
	if text == "" {
		return 0, false, nil
	}
	n, err = strconv.Atoi(text)
	if err != nil {
		return 0, true, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid value for %s: %v", key, err))
	}
	return n, true, nil
}

// filters reads the parameter of that name, in both of its encodings.
func (r *request) filters() (filter.Args, error) { return filter.Parse(r.query.Get("filters")) }

// decode reads the JSON body into out. An absent body leaves out as it is. Errors: invalid argument, in dockerd's words.
func (r *request) decode(w *response, out any) error {
	if err := checkContentType(r.Header.Get("Content-Type"), r.hasBody()); err != nil {
		return err
	}
	if !r.hasBody() {
		return nil
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer control.SetReadDeadline(time.Time{})
	// net/http's own writer closes the connection of a client that sends too much.
	return decodeJSON(http.MaxBytesReader(w.ResponseWriter, r.Body, maxJSON), out)
}

func (r *request) hasBody() bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
}

// checkContentType accepts JSON, and nothing at all where there is no body.
func checkContentType(given string, body bool) error {
	if given == "" && !body {
		return nil
	}
	media, _, err := mime.ParseMediaType(given)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("malformed Content-Type header (%s): %v", given, err))
	}
	if media != "application/json" {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unsupported Content-Type header (%s): must be 'application/json'", given))
	}
	return nil
}

// decodeJSON reads exactly one JSON value.
func decodeJSON(body io.Reader, out any) error {
	d := json.NewDecoder(body)
	if err := d.Decode(out); err != nil {
		if errors.Is(err, io.EOF) {
			return errdefs.ErrInvalidArgument.WithMessage("invalid JSON: got EOF while reading request body")
		}
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return errdefs.ErrInvalidArgument.WithMessage("invalid JSON: " + err.Error())
	}
	if d.More() {
		return errdefs.ErrInvalidArgument.WithMessage("unexpected content after JSON")
	}
	return nil
}
