package host

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// OS is what the distribution calls itself, os-release(5).
type OS struct {
	Name    string // PRETTY_NAME
	Version string // VERSION_ID; "" for a rolling release
}

// maxOSRelease bounds the file, in bytes.
const maxOSRelease = 64 << 10

func readOS(root string) OS {
	// The first one that is there is the one, os-release(5).
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err == nil && len(data) <= maxOSRelease {
			return parseOS(data)
		}
	}
	return OS{Name: "Linux"}
}

func parseOS(data []byte) OS {
	out := OS{Name: "Linux"} // the default that os-release(5) gives
	for line := range bytes.Lines(data) {
		key, v, ok := strings.Cut(strings.TrimSpace(string(line)), "=")
		if !ok {
			continue
		}
		switch v = unquote(v); key {
		case "PRETTY_NAME":
			if v != "" {
				out.Name = v
			}
		case "VERSION_ID":
			out.Version = v
		}
	}
	return out
}

// unquote reads a value in a shell's notation: bare, in single, or in double quotes with backslashes.
func unquote(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] {
		return s
	}
	switch s[0] {
	case '\'':
		return s[1 : len(s)-1]
	case '"':
		var out strings.Builder
		escaped := false
		for _, r := range s[1 : len(s)-1] {
			if r == '\\' && !escaped {
				escaped = true
				continue
			}
			escaped = false
			out.WriteRune(r)
		}
		return out.String()
	}
	return s
}
