// Package version says what was built.
package version

import (
	"runtime/debug"
	"time"
)

// Number is the version of all programs of this tree.
const Number = "0.1.0"

// Build is where the running binary comes from.
type Build struct {
	Commit string    // of the repository; "unknown" outside of one
	Time   time.Time // of the commit; zero if it is not known
	Dirty  bool      // the tree had changes that were not committed
}

// Read looks at what the Go tool has stamped into the binary.
func Read() Build {
	b := Build{Commit: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time, _ = time.Parse(time.RFC3339, s.Value) // zero if it cannot be read
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	return b
}

// Short is the commit as Docker shows it: 7 digits.
func (b Build) Short() string {
	short := b.Commit
	if len(short) > 7 {
		short = short[:7]
	}
	if b.Dirty {
		short += "-dirty"
	}
	return short
}
