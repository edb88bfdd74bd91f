package api

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// defaultDetachKeys are ctrl-p, ctrl-q.
var defaultDetachKeys = []byte{16, 17}

// errDetached ends what is read from a terminal when its user has typed the detach keys.
var errDetached = errors.New("detached")

// parseDetachKeys reads a comma-separated list of single characters and of ctrl-x with x a letter or one of @ [ \ ] ^ _, or
// DEL. An empty string is the default.
func parseDetachKeys(text string) ([]byte, error) {
	if text == "" {
		return defaultDetachKeys, nil
	}
	var keys []byte
	for name := range strings.SplitSeq(text, ",") {
		code, ok := keyCode(name)
		if !ok {
			return nil, fmt.Errorf("Unknown character: '%s'", name) //nolint:staticcheck // dockerd's words
		}
		keys = append(keys, code)
	}
	return keys, nil
}

func keyCode(name string) (byte, bool) {
	if len(name) == 1 {
		return name[0], true
	}
	if name == "DEL" {
		return 127, true
	}
	key, found := strings.CutPrefix(name, "ctrl-")
	if !found || len(key) != 1 {
		return 0, false
	}
	switch c := key[0]; {
	case c >= 'a' && c <= 'z':
		return c - 'a' + 1, true
	case c == '@':
		return 0, true
	case c >= '[' && c <= '_':
		return c - '@', true
	}
	return 0, false
}

// detachReader passes on what is read from a terminal's user until the keys are typed in a row. The beginning of
// the sequence is held back until it is clear that the rest does not follow.
type detachReader struct {
	from io.Reader
	keys []byte
	seen int // of keys, held back

	out  []byte // to be returned
	err  error  // after out
	read [4096]byte
}

// Read returns errDetached when the keys were typed.
func (d *detachReader) Read(b []byte) (int, error) {
	for len(d.out) == 0 && d.err == nil {
		n, err := d.from.Read(d.read[:])
		d.out = d.filter(d.read[:n])
		if err != nil && d.err == nil {
			d.out, d.seen = append(d.out, d.keys[:d.seen]...), 0
			d.err = err
		}
	}
	if len(d.out) == 0 {
		return 0, d.err
	}
	n := copy(b, d.out)
	d.out = d.out[n:]
	return n, nil
}

// filter returns what is not part of the sequence; of what follows it, nothing.
func (d *detachReader) filter(in []byte) []byte {
	out := make([]byte, 0, len(in)+d.seen)
	for _, c := range in {
		for d.seen > 0 && d.keys[d.seen] != c {
			next := d.border()
			out = append(out, d.keys[:d.seen-next]...)
			d.seen = next
		}
		if d.keys[d.seen] != c {
			out = append(out, c)
			continue
		}
		if d.seen++; d.seen == len(d.keys) {
			d.seen, d.err = 0, errDetached
			return out
		}
	}
	return out
}

// border is the length of the longest beginning of the keys that the keys held back end in.
func (d *detachReader) border() int {
	for n := d.seen - 1; n > 0; n-- {
		if string(d.keys[:n]) == string(d.keys[d.seen-n:d.seen]) {
			return n
		}
	}
	return 0
}
