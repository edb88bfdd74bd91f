package instruction

import (
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
)

// applyHealthcheck reads HEALTHCHECK [--flag=value ...] NONE | CMD command.
func applyHealthcheck(s *state, rest string) error {
	h := &container.HealthConfig{}
	flags := false
	for strings.HasPrefix(rest, "--") {
		var flag string
		flag, rest = cutSpace(rest)
		if err := healthFlag(h, flag); err != nil {
			return err
		}
		flags = true
	}
	kind, command := cutSpace(rest)
	switch strings.ToUpper(kind) {
	case "":
		return invalid("HEALTHCHECK requires at least one argument")
	case "NONE":
		if command != "" || flags {
			return invalid("HEALTHCHECK NONE takes no arguments")
		}
		h.Test = []string{"NONE"}
	case "CMD":
		args, exec := execForm(command)
		if command == "" || exec && len(args) == 0 {
			return invalid("Missing command after HEALTHCHECK CMD")
		}
		h.Test = []string{"CMD-SHELL", command}
		if exec {
			h.Test = append([]string{"CMD"}, args...)
		}
	default:
		return invalid("Unknown type %q in HEALTHCHECK (try CMD)", kind)
	}
	s.cfg.Healthcheck = h
	return nil
}

func healthFlag(h *container.HealthConfig, flag string) error {
	name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	durations := map[string]*time.Duration{
		"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod, "start-interval": &h.StartInterval,
	}
	if into := durations[name]; into != nil {
		d, err := time.ParseDuration(value)
		if err != nil {
			return invalid("%v", err)
		}
		if d != 0 && d < container.MinimumDuration {
			return invalid("Interval %q cannot be less than %s", name, container.MinimumDuration)
		}
		*into = d
		return nil
	}
	if name != "retries" {
		return invalid("unknown flag: --%s", name)
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return invalid("%v", err)
	}
	if n < 0 {
		return invalid("--retries cannot be negative (%d)", n)
	}
	h.Retries = int(n)
	return nil
}
