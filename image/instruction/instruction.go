// Package instruction applies Dockerfile instructions to the config of an
// image, as import and commit take them with --change.
package instruction

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// maxText bounds the instructions of one request.
const maxText = 1 << 20

// state is a config that instructions change.
type state struct {
	cfg    *container.Config
	cmdSet bool // by one of these instructions, so that ENTRYPOINT keeps it
}

// handler applies one instruction; rest is what follows its name.
type handler func(s *state, rest string) error

func handlers() map[string]handler {
	return map[string]handler{
		"cmd":         applyCmd,
		"entrypoint":  applyEntrypoint,
		"env":         applyEnv,
		"expose":      applyExpose,
		"healthcheck": applyHealthcheck,
		"label":       applyLabel,
		"onbuild":     applyOnbuild,
		"stopsignal":  applyStopSignal,
		"user":        applyUser,
		"volume":      applyVolume,
		"workdir":     applyWorkdir,
	}
}

// Apply applies instructions in their order; one string may hold several lines. On an error cfg may be
// changed in part. Errors: invalid argument, in dockerd's words.
func Apply(cfg *container.Config, changes []string) error {
	text := strings.Join(changes, "\n")
	if len(text) > maxText {
		return invalid("instructions are longer than %d bytes", maxText)
	}
	known := handlers()
	s := &state{cfg: cfg}
	for _, line := range logicalLines(text) {
		name, rest := cutSpace(line)
		apply, ok := known[strings.ToLower(name)]
		if !ok {
			return invalid("%s is not a valid change command", strings.ToLower(name))
		}
		if err := apply(s, rest); err != nil {
			return err
		}
	}
	return nil
}

// logicalLines joins continued lines, and leaves out comments and empty ones.
func logicalLines(text string) []string {
	var out []string
	var current strings.Builder
	flush := func() {
		if line := strings.TrimSpace(current.String()); line != "" {
			out = append(out, line)
		}
		current.Reset()
	}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		if trimmed := strings.TrimSpace(line); trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if body, ok := strings.CutSuffix(line, `\`); ok {
			current.WriteString(body)
			continue
		}
		current.WriteString(line)
		flush()
	}
	flush()
	return out
}

// cutSpace splits off the first word.
func cutSpace(s string) (word, rest string) {
	s = strings.TrimSpace(s)
	n := strings.IndexAny(s, " \t")
	if n < 0 {
		return s, ""
	}
	return s[:n], strings.TrimSpace(s[n:])
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
