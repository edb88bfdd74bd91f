package logdriver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func info(options ...string) Info {
	i := Info{
		ContainerID: "0123456789abcdef0123", ContainerName: "web", ImageID: "sha256:fedcba9876543210", ImageName: "reg:5000/nginx:1.2",
		DaemonName: "gantry", Command: "nginx -g x",
		Env:     []string{"A=1", "B=2=3", "EMPTY=", "noequals", "A_B=4"},
		Labels:  map[string]string{"tier": "front", "com.example.x": "y"},
		Options: map[string]string{},
	}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		i.Options[key] = value
	}
	return i
}

func TestAttrsSelect(t *testing.T) {
	for _, c := range []struct{ options, want string }{
		{"", "[]"},
		{"labels=tier,none", "[{tier front}]"},
		{"labels-regex=^com\\.", "[{com.example.x y}]"},
		{"env=B,EMPTY,noequals", "[{B 2=3} {EMPTY }]"},
		{"env-regex=^A", "[{A 1} {A_B 4}]"},
		{"env=A labels=tier tag={{.Name}}", "[{A 1} {tag web} {tier front}]"},
	} {
		attrs, err := Attrs(info(strings.Fields(c.options)...))
		if got := fmt.Sprint(attrs); err != nil || got != c.want {
			t.Errorf("%s: got %s (%v), want %s", c.options, got, err, c.want)
		}
	}
}

func TestTag(t *testing.T) {
	for _, c := range []struct{ tag, want string }{
		{"", "fallback"},
		{"fixed", "fixed"},
		{"{{.ID}}|{{.FullID}}|{{.Name}}", "0123456789ab|0123456789abcdef0123|web"},
		{"{{.ImageID}}|{{.ImageFullID}}|{{.ImageName}}", "fedcba987654|sha256:fedcba9876543210|reg:5000/nginx:1.2"},
		{"{{.DaemonName}}/{{.Command}}", "gantry/nginx -g x"},
		{`{{index (split .ImageName ":") 2}}`, "1.2"},
		{`{{upper .Name}}{{title "a b"}}{{truncate .Name 2}}{{pad .Name 1 1}}`, "WEBA Bwe web "},
		{`{{index .ContainerLabels "tier"}}{{.ContainerName}}`, "front/web"},
		{"{{json .Name}}", `"web"`},
	} {
		i := info()
		i.Options["tag"] = c.tag
		if got, err := Tag(i, "fallback"); err != nil || got != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.tag, got, err, c.want)
		}
	}
}

func TestBadTagsAreInvalidArguments(t *testing.T) {
	for _, tag := range []string{"{{", "{{.Nope}}", "{{nope}}", `{{range $i := (split .ContainerImageID "")}}{{printf "%20000d" 1}}{{end}}`, `{{pad "x" 9223372036854775807 1}}{{.Nope}}`} {
		i := info()
		i.Options["tag"] = tag
		if _, err := Attrs(i); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: got %v", tag, err)
		}
	}
}
