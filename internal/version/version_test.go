package version

import "testing"

func TestShortCommit(t *testing.T) {
	for want, b := range map[string]Build{
		"0123456":       {Commit: "0123456789abcdef"},
		"0123456-dirty": {Commit: "0123456789abcdef", Dirty: true},
		"unknown":       {Commit: "unknown"},
	} {
		if got := b.Short(); got != want {
			t.Errorf("%+v is %s, want %s", b, got, want)
		}
	}
	if Read().Commit == "" {
		t.Error("a binary without a commit")
	}
}
