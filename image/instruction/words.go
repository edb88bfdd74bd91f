package instruction

import (
	"encoding/json"
	"slices"
	"strings"
)

// execForm reads a JSON list of strings; ok is false for anything else, which is the shell form.
func execForm(rest string) (args []string, ok bool) {
	if !strings.HasPrefix(rest, "[") {
		return nil, false
	}
	args = []string{}
	if err := json.Unmarshal([]byte(rest), &args); err != nil || args == nil {
		return nil, false
	}
	return args, true
}

// splitWords splits at white space outside of quotes. Quotes and escapes stay.
func splitWords(s string) []string {
	var out []string
	var word strings.Builder
	var quote byte
	inWord := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if inWord {
				out = append(out, word.String())
				word.Reset()
				inWord = false
			}
			continue
		case c == '\\' && quote != '\'' && i+1 < len(s):
			word.WriteByte(c)
			i++
			c = s[i]
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == c:
			quote = 0
		}
		word.WriteByte(c)
		inWord = true
	}
	if inWord {
		out = append(out, word.String())
	}
	return out
}

// pair is a name and its value, both as written.
type pair struct{ name, value string }

// pairs reads the two forms of ENV and LABEL: "name the rest" and name=value name="a value".
func pairs(instruction, rest string) ([]pair, error) {
	words := splitWords(rest)
	if len(words) == 0 {
		return nil, invalid("%s must have two arguments", instruction)
	}
	if !strings.Contains(words[0], "=") {
		name, value := cutSpace(rest)
		if value == "" {
			return nil, invalid("%s must have two arguments", instruction)
		}
		return []pair{{name, value}}, nil
	}
	var out []pair
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return nil, invalid("Syntax error - can't find = in %q. Must be of the form: name=value", w)
		}
		if name == "" {
			return nil, invalid("%s names can not be blank", instruction)
		}
		out = append(out, pair{name, value})
	}
	return out, nil
}

// lookup returns a variable of the config's environment.
func (s *state) lookup(name string) (string, bool) {
	n := slices.IndexFunc(s.cfg.Env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
	if n < 0 {
		return "", false
	}
	return s.cfg.Env[n][len(name)+1:], true
}
