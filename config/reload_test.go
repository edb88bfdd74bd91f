package config

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// rewrite replaces the file of a flag that file has returned.
func rewrite(t *testing.T, flag, content string) {
	t.Helper()
	if err := os.WriteFile(strings.TrimPrefix(flag, "--config-file="), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReloadChangesWhatCanChange(t *testing.T) {
	f := file(t, `{"labels": ["a=b"], "mtu": 1400, "max-concurrent-downloads": 4}`)
	old := load(t, f, "--log-level=warn")
	rewrite(t, f, `{"debug": true, "labels": ["c=d"], "mtu": 1300, "runtimes": {"x": {"path": "/x"}}, "hosts": ["unix:///other"]}`)
	r, err := old.Reload()
	if err != nil {
		t.Fatal(err)
	}
	names := func(changes []Change) (out []string) {
		for _, c := range changes {
			out = append(out, c.Option)
		}
		slices.Sort(out)
		return out
	}
	if got := names(r.Changed); !slices.Equal(got, []string{"add-runtime", "debug", "label", "max-concurrent-downloads"}) {
		t.Errorf("changed: %v", got)
	}
	if got := names(r.Pending); !slices.Equal(got, []string{"host", "mtu"}) {
		t.Errorf("pending: %v", got)
	}
	n := r.Config
	if !n.Log.Debug || n.Network.MTU != 1400 || n.Registry.MaxDownloads != 3 || n.Serve.Hosts[0] != "unix:///run/gantry/gantry.sock" {
		t.Errorf("%+v", n)
	}
	if old.Log.Debug || old.Labels[0] != "a=b" {
		t.Error("the configuration before has changed")
	}
	rewrite(t, f, `{}`)
	if r, err = n.Reload(); err != nil || r.Config.Log.Threshold() != "warn" {
		t.Errorf("debug off again: %v, %+v", err, r)
	}
}

func TestReloadIsAllOrNothing(t *testing.T) {
	f := file(t, `{}`)
	c := load(t, f, "--label=a=b")
	for content, want := range map[string]string{
		`{"debug": true, "labels": ["c=d"]}`: "specified both as a flag",
		`{"debug": true, "x": 1}`:            "don't match any configuration option: x",
		`{"debug": true,`:                    "unexpected end of JSON",
	} {
		rewrite(t, f, content)
		if _, err := c.Reload(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestAttributesOfTheReloadEvent(t *testing.T) {
	c := load(t, file(t, `{"labels": ["foo=bar"], "runtimes": {"b": {"path": "/b", "runtimeArgs": ["-x"]}, "a": {"path": "/a"}}, "features": {"f": true}}`))
	a := c.Attributes()
	for key, want := range map[string]string{
		"labels": `["foo=bar"]`, "debug": "false", "default-shm-size": "67108864", "insecure-registries": "[]", "live-restore": "false",
		"max-concurrent-downloads": "3", "max-concurrent-uploads": "5", "max-download-attempts": "5", "registry-mirrors": "[]",
		"shutdown-timeout": "15", "runtimes": "a:{/a []} b:{/b [-x]}", "features": "map[f:true]", "default-ipc-mode": "private",
		"allow-nondistributable-artifacts": "[]",
	} {
		if a[key] != want {
			t.Errorf("%s is %q, want %q", key, a[key], want)
		}
	}
}
