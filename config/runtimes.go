package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reservedRuntime cannot be given another meaning: clients and images take it for granted.
const reservedRuntime = "runc"

// runtimes is NAME=PATH on the command line, and an object by name in the file.
func runtimes(p *map[string]Runtime) value {
	return mapping[Runtime]{
		p: p,
		parse: func(s string) (string, Runtime, error) {
			name, path, ok := strings.Cut(s, "=")
			if !ok || strings.TrimSpace(path) == "" {
				return "", Runtime{}, fmt.Errorf("invalid runtime argument: %s", s)
			}
			name, path = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(path)
			if err := checkRuntimeName(name); err != nil {
				return "", Runtime{}, err
			}
			if _, ok := (*p)[name]; ok {
				return "", Runtime{}, fmt.Errorf("runtime '%s' was already defined", name)
			}
			return name, Runtime{Path: path}, nil
		},
		decode: func(name string, data []byte) (Runtime, error) {
			if err := checkRuntimeName(name); err != nil {
				return Runtime{}, err
			}
			var r Runtime
			d := json.NewDecoder(bytes.NewReader(data))
			d.DisallowUnknownFields()
			if err := d.Decode(&r); err != nil {
				return Runtime{}, fmt.Errorf("not a runtime: %w", err)
			}
			return r, nil
		},
		format: func(r Runtime) string {
			if r.Type != "" {
				return fmt.Sprintf("{%s %v}", r.Type, r.Options)
			}
			return fmt.Sprintf("{%s %v}", r.Path, r.Args)
		},
	}
}

func checkRuntimeName(name string) error {
	switch {
	case name == reservedRuntime:
		return fmt.Errorf("runtime name '%s' is reserved", reservedRuntime)
	case name == "" || strings.ContainsAny(name, "/ \t\n"):
		return fmt.Errorf("invalid runtime name: %q", name)
	}
	return nil
}

// validate checks what only makes sense when both notations are merged.
func (r Runtimes) validate() error {
	for name, rt := range r.Known {
		switch {
		case rt.Path == "" && rt.Type == "":
			return fmt.Errorf("runtime %s: either a runtimeType or a path must be configured", name)
		case rt.Path != "" && rt.Type != "":
			return fmt.Errorf("runtime %s: cannot configure both path and runtimeType for the same runtime", name)
		case rt.Type != "" && len(rt.Args) > 0:
			return fmt.Errorf("runtime %s: cannot configure runtimeArgs with a runtimeType", name)
		case rt.Type == "" && len(rt.Options) > 0:
			return fmt.Errorf("runtime %s: options cannot be used with a path", name)
		}
	}
	if _, ok := r.Known[r.Default]; r.Default != "" && !ok && !wellKnown(r.Default) {
		return fmt.Errorf("specified default runtime '%s' does not exist", r.Default)
	}
	return nil
}

// wellKnown names need no entry: they are found in PATH.
func wellKnown(name string) bool { return name == reservedRuntime || name == "crun" }

// sortedRuntimes are the runtimes as the reload event names them.
func (c *Config) sortedRuntimes() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.Runtimes.Known)) {
		rt := c.Runtimes.Known[name]
		path := rt.Path
		if path == "" {
			path = rt.Type
		}
		out = append(out, fmt.Sprintf("%s:{%s %v}", name, path, rt.Args))
	}
	return out
}
