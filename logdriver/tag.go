package logdriver

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"

	"github.com/containerd/errdefs"
)

// maxTag bounds what a template may produce, in bytes: the longest tag that a driver sends.
const maxTag = 64 << 10

// Tag expands the tag option, or fallback where there is none: a Go template over the
// container's facts. Errors: invalid argument.
func Tag(info Info, fallback string) (string, error) {
	text := info.Options["tag"]
	if text == "" {
		text = fallback
	}
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := parseTag(text)
	if err != nil {
		return "", err
	}
	out := &bounded{left: maxTag}
	if err := t.Execute(out, tagged{info}); err != nil {
		return "", errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return out.String(), nil
}

func parseTag(text string) (*template.Template, error) {
	t, err := template.New("log-tag").Funcs(tagFunctions()).Parse(text)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return t, nil
}

// tagFunctions are those of dockerd's templates.
func tagFunctions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
		"split": strings.Split,
		"join":  strings.Join,
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"title": title,
		"pad": func(s string, before, after int) string {
			if s == "" || min(before, after) < 0 || max(before, after) > maxTag {
				return s
			}
			return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
		},
		"truncate": func(s string, n int) string {
			if n < 0 || n >= len(s) {
				return s
			}
			return s[:n]
		},
	}
}

func title(s string) string {
	words := strings.SplitAfter(s, " ")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}

// tagged is what a template sees: the names are those that Docker documents.
type tagged struct{ info Info }

func (t tagged) ID() string                { return short(t.info.ContainerID) }
func (t tagged) FullID() string            { return t.info.ContainerID }
func (t tagged) Name() string              { return t.info.ContainerName }
func (t tagged) ImageID() string           { return short(strings.TrimPrefix(t.info.ImageID, "sha256:")) }
func (t tagged) ImageFullID() string       { return t.info.ImageID }
func (t tagged) ImageName() string         { return t.info.ImageName }
func (t tagged) DaemonName() string        { return t.info.DaemonName }
func (t tagged) Command() string           { return t.info.Command }
func (t tagged) Hostname() (string, error) { return os.Hostname() }

func (t tagged) ContainerID() string                { return t.info.ContainerID }
func (t tagged) ContainerName() string              { return "/" + t.info.ContainerName }
func (t tagged) ContainerImageID() string           { return t.info.ImageID }
func (t tagged) ContainerImageName() string         { return t.info.ImageName }
func (t tagged) ContainerCreated() time.Time        { return t.info.Created }
func (t tagged) ContainerEnv() []string             { return t.info.Env }
func (t tagged) ContainerLabels() map[string]string { return t.info.Labels }
func (t tagged) Config() map[string]string          { return t.info.Options }

// short is the form of an ID that users see.
func short(id string) string { return id[:min(len(id), 12)] }

// bounded is a string that refuses to grow beyond a size: templates may loop.
type bounded struct {
	strings.Builder
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("tag is longer than %d bytes", maxTag)
	}
	return b.Builder.Write(p)
}
