package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// mapping has one entry for each time the flag is given.
type mapping[V any] struct {
	p      *map[string]V
	parse  func(string) (key string, v V, err error) // of the flag
	decode func(key string, data []byte) (V, error)  // of the file; nil for plain JSON
	format func(V) string                            // nil for %v
}

func (m mapping[V]) Type() string    { return "map" }
func (m mapping[V]) toJSON() any     { return *m.p }
func (m mapping[V]) take(from value) { *m.p = maps.Clone(*from.(mapping[V]).p) }

// String lists the entries by key, as fmt does.
func (m mapping[V]) String() string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(*m.p)) {
		entry := fmt.Sprint((*m.p)[key])
		if m.format != nil {
			entry = m.format((*m.p)[key])
		}
		out = append(out, key+":"+entry)
	}
	return "map[" + strings.Join(out, " ") + "]"
}

func (m mapping[V]) Set(text string) error {
	key, v, err := m.parse(text)
	if err != nil {
		return err
	}
	m.put(key, v)
	return nil
}

func (m mapping[V]) put(key string, v V) {
	if *m.p == nil {
		*m.p = map[string]V{}
	}
	(*m.p)[key] = v
}

func (m mapping[V]) fromJSON(data []byte) error {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return errors.New("not an object")
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		decode := m.decode
		if decode == nil {
			decode = decodePlain
		}
		v, err := decode(key, entries[key])
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		m.put(key, v)
	}
	return nil
}

// decodePlain takes JSON as it is.
func decodePlain[V any](_ string, data []byte) (v V, err error) {
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("%s is not a %s", data, kindOf(v))
	}
	return v, nil
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	}
	return "valid object"
}

// pairs is a map of strings: KEY=VALUE on the command line.
func pairs(p *map[string]string) value {
	return mapping[string]{p: p, parse: func(s string) (string, string, error) {
		key, v, _ := strings.Cut(s, "=")
		return key, v, nil
	}}
}

// switches is a map of booleans: NAME or NAME=true|false on the command line.
func switches(p *map[string]bool) value {
	return mapping[bool]{p: p, parse: func(s string) (string, bool, error) {
		key, v, given := strings.Cut(s, "=")
		if key == "" {
			return "", false, fmt.Errorf("invalid feature: %q has no name", s)
		}
		if !given {
			return key, true, nil
		}
		on, err := strconv.ParseBool(v)
		if err != nil {
			return "", false, fmt.Errorf("invalid boolean value for feature %s: %q", key, v)
		}
		return key, on, nil
	}}
}

// ulimits is NAME=SOFT[:HARD] on the command line, and an object by name with Name, Soft and Hard in the file.
func ulimits(p *map[string]*units.Ulimit) value {
	return mapping[*units.Ulimit]{
		p: p,
		parse: func(s string) (string, *units.Ulimit, error) {
			u, err := units.ParseUlimit(s)
			if err != nil {
				return "", nil, err
			}
			return u.Name, u, nil
		},
		decode: func(key string, data []byte) (*units.Ulimit, error) {
			u := &units.Ulimit{}
			if err := json.Unmarshal(data, u); err != nil {
				return nil, errors.New(`not an object with "Name", "Soft" and "Hard"`)
			}
			if u.Name == "" {
				u.Name = key
			}
			// The same rules for both notations: known name, soft not above hard.
			checked, err := units.ParseUlimit(u.String())
			if err != nil {
				return nil, err
			}
			return checked, nil
		},
		format: (*units.Ulimit).String,
	}
}

// networkOptions is DRIVER=OPTION=VALUE on the command line, and objects in an object in the file.
func networkOptions(p *map[string]map[string]string) value {
	parse := func(s string) (string, map[string]string, error) {
		driver, rest, ok := strings.Cut(s, "=")
		option, v, ok2 := strings.Cut(rest, "=")
		if !ok || !ok2 || driver == "" || option == "" {
			return "", nil, fmt.Errorf("invalid mapmap entry %q: want DRIVER=OPTION=VALUE", s)
		}
		all := maps.Clone((*p)[driver])
		if all == nil {
			all = map[string]string{}
		}
		all[option] = v
		return driver, all, nil
	}
	return mapping[map[string]string]{p: p, parse: parse}
}

// object is any JSON object, of the file alone, that is kept as it is.
func object(p *map[string]any) value {
	return mapping[any]{p: p}
}
