package instruction

import "strings"

// maxExpanded bounds a word after its variables are replaced.
const maxExpanded = 1 << 20

// expander reads one word: quotes and escapes are taken away, variables replaced.
type expander struct {
	in     string
	pos    int
	out    strings.Builder
	lookup func(string) (string, bool)
	depth  int // of ${a:-${b:-...}}
}

// expand does what the shell does with a word, with the config's environment. Errors: invalid argument.
func (s *state) expand(word string) (string, error) {
	return expandWith(word, s.lookup, 0)
}

func expandWith(word string, lookup func(string) (string, bool), depth int) (string, error) {
	if depth > 16 {
		return "", invalid("variables are nested too deep")
	}
	e := expander{in: word, lookup: lookup, depth: depth}
	for e.pos < len(e.in) {
		if err := e.next(); err != nil {
			return "", err
		}
		if e.out.Len() > maxExpanded {
			return "", invalid("a value is longer than %d bytes", maxExpanded)
		}
	}
	return e.out.String(), nil
}

func (e *expander) next() error {
	c := e.in[e.pos]
	e.pos++
	switch c {
	case '\'':
		return e.single()
	case '"':
		return e.double()
	case '$':
		return e.variable()
	case '\\':
		if e.pos < len(e.in) {
			c = e.in[e.pos]
			e.pos++
		}
	}
	e.out.WriteByte(c)
	return nil
}

func (e *expander) single() error {
	end := strings.IndexByte(e.in[e.pos:], '\'')
	if end < 0 {
		return invalid("unexpected end of statement while looking for matching single-quote")
	}
	e.out.WriteString(e.in[e.pos : e.pos+end])
	e.pos += end + 1
	return nil
}

func (e *expander) double() error {
	for e.pos < len(e.in) {
		c := e.in[e.pos]
		e.pos++
		switch c {
		case '"':
			return nil
		case '$':
			if err := e.variable(); err != nil {
				return err
			}
			continue
		case '\\':
			// Inside of double quotes, a backslash escapes only these.
			if e.pos < len(e.in) && strings.IndexByte(`"$\`, e.in[e.pos]) >= 0 {
				c = e.in[e.pos]
				e.pos++
			}
		}
		e.out.WriteByte(c)
	}
	return invalid("unexpected end of statement while looking for matching double-quote")
}

// variable reads what follows a dollar sign.
func (e *expander) variable() error {
	if e.pos < len(e.in) && e.in[e.pos] == '{' {
		return e.braces()
	}
	name := nameAt(e.in[e.pos:])
	if name == "" {
		e.out.WriteByte('$')
		return nil
	}
	e.pos += len(name)
	value, _ := e.lookup(name)
	e.out.WriteString(value)
	return nil
}

// braces reads ${name} and ${name:-word}, with - + and ? with or without the colon.
func (e *expander) braces() error {
	end := closing(e.in[e.pos:])
	if end < 0 {
		return invalid("syntax error: missing '}'")
	}
	inner := e.in[e.pos+1 : e.pos+end]
	e.pos += end + 1
	name := nameAt(inner)
	if name == "" {
		return invalid("syntax error: bad substitution")
	}
	value, set := e.lookup(name)
	rest := inner[len(name):]
	if rest == "" {
		e.out.WriteString(value)
		return nil
	}
	rest, colon := strings.CutPrefix(rest, ":")
	if colon {
		set = set && value != ""
	}
	if rest == "" {
		return invalid("syntax error: missing modifier in substitution")
	}
	word, err := expandWith(rest[1:], e.lookup, e.depth+1)
	if err != nil {
		return err
	}
	switch rest[0] {
	case '-':
		if !set {
			value = word
		}
	case '+':
		value = ""
		if set {
			value = word
		}
	case '?':
		if !set {
			return invalid("%s: %s", name, word)
		}
	default:
		return invalid("unsupported modifier (%s) in substitution", rest[:1])
	}
	e.out.WriteString(value)
	return nil
}

// closing is the place of the brace that closes the one at the beginning of s; -1 if there is none.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

// nameAt is the name of a variable at the beginning of s.
func nameAt(s string) string {
	n := 0
	for n < len(s) {
		c := s[n]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (n == 0 || c < '0' || c > '9') {
			break
		}
		n++
	}
	return s[:n]
}
