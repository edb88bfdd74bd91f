package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// maxFile bounds the configuration file in bytes, far beyond any that makes sense.
const maxFile = 4 << 20

// merge adds the file to what the flags have set.
func (c *Config) merge(t table, flags *pflag.FlagSet) error {
	flags.Visit(func(f *pflag.Flag) { c.set[f.Name] = true })
	keys, err := c.readFile()
	if err != nil {
		return &FileError{c.File, err}
	}
	if keys == nil {
		c.File = ""
		return nil
	}
	if err := c.mergeKeys(t, keys); err != nil {
		return &FileError{c.File, err}
	}
	return nil
}

// readFile returns the keys of the file; nil for none: an empty file, a device, or the default one that is missing.
func (c *Config) readFile() (map[string]json.RawMessage, error) {
	f, err := os.Open(c.File)
	if errors.Is(err, fs.ErrNotExist) && !c.set["config-file"] || c.File == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return parseFile(data)
}

// parseFile splits the file by key, those of "proxies" among the others. Errors: what is wrong, and in which line.
func parseFile(data []byte) (map[string]json.RawMessage, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) // some editors begin a file with a byte order mark
	if len(data) == 0 {
		return nil, nil
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
			return nil, fmt.Errorf("%w (line %d)", err, line)
		}
		return nil, errors.New("not a JSON object")
	}
	if keys == nil {
		return nil, nil // the file says null
	}
	return flatten(keys)
}

// flatten lifts the keys of "proxies", the only section, to those of the flags.
func flatten(keys map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	section, ok := keys["proxies"]
	if !ok {
		return keys, nil
	}
	delete(keys, "proxies")
	var proxies map[string]json.RawMessage
	if err := json.Unmarshal(section, &proxies); err != nil {
		return nil, errors.New("proxies: not an object")
	}
	for key, v := range proxies {
		if _, twice := keys[key]; twice {
			return nil, fmt.Errorf("%s is there twice, alone and in proxies", key)
		}
		keys[key] = v
	}
	return keys, nil
}

// mergeKeys is all or nothing: unknown keys and conflicts are found before a value is set.
func (c *Config) mergeKeys(t table, keys map[string]json.RawMessage) error {
	names := slices.Sorted(maps.Keys(keys))
	if err := checkRemoved(names); err != nil {
		return err
	}
	var unknown, conflicts []string
	for _, key := range names {
		o := t.byKey(key)
		switch {
		case o == nil:
			unknown = append(unknown, key)
		case c.set[o.name] && key != "runtimes": // those of both sides are added up
			conflicts = append(conflicts, conflict(o, key, keys[key]))
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("the following directives don't match any configuration option: %s", strings.Join(unknown, ", "))
	}
	if len(conflicts) > 0 {
		return fmt.Errorf("the following directives are specified both as a flag and in the configuration file: %s", strings.Join(conflicts, ", "))
	}
	for _, key := range names {
		o := t.byKey(key)
		if err := o.value.fromJSON(keys[key]); err != nil {
			return fmt.Errorf("configuration validation from file failed: %s: %w", key, err)
		}
		c.set[o.id()] = true
	}
	return nil
}

func conflict(o *option, key string, fromFile json.RawMessage) string {
	var v any
	if err := json.Unmarshal(fromFile, &v); err != nil {
		v = string(fromFile)
	}
	file := fmt.Sprint(v)
	if o.secret {
		file = maskURL(file)
	}
	return fmt.Sprintf("%s: (from flag: %s, from file: %s)", key, o.text(), file)
}

// checkRemoved names the successor of what dockerd once had.
func checkRemoved(names []string) error {
	for _, key := range names {
		switch key {
		case "graph":
			return errors.New(`the "graph" option was removed: use "data-root"`)
		case "cluster-store", "cluster-advertise", "cluster-store-opts":
			return fmt.Errorf(`the %q option was removed with the cluster stores: swarm mode needs none`, key)
		case "api-cors-header":
			return errors.New(`the "api-cors-header" option was removed: put a reverse proxy in front of the API`)
		}
	}
	return nil
}
