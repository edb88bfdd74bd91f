package container

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWhatAKilledCreateLeaves: a record that never got its name is none; one that has lost a file is somebody's.
func TestWhatAKilledCreateLeaves(t *testing.T) {
	for _, c := range []struct {
		files []string
		never bool
	}{
		{nil, true},
		{[]string{".tmp-config.v2.json-1"}, true},
		{[]string{".tmp-config.v2.json-1", ".tmp-hostconfig.json-2"}, true},
		{[]string{".tmp-config.v2.json-1", "hostconfig.json"}, true},
		{[]string{"hostconfig.json"}, false},
		{[]string{".tmp-config.v2.json-1", "hostconfig.json", "x-json.log"}, false},
	} {
		dir := t.TempDir()
		for _, name := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := (&restorer{}).neverCreated(dir); got != c.never {
			t.Errorf("%q: %v", c.files, got)
		}
	}
}
