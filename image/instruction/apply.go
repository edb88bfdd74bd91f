package instruction

import (
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/sys/signal"
)

// shellForm is a command that the shell runs.
func (s *state) shellForm(rest string) []string {
	shell := s.cfg.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), rest)
}

// command reads either form; nothing at all is an empty list.
func (s *state) command(rest string) []string {
	if args, ok := execForm(rest); ok {
		return args
	}
	if rest == "" {
		return []string{}
	}
	return s.shellForm(rest)
}

func applyCmd(s *state, rest string) error {
	s.cfg.Cmd = s.command(rest)
	s.cmdSet = true
	return nil
}

// applyEntrypoint drops the command too, unless it was set here: it belonged to the old entrypoint.
func applyEntrypoint(s *state, rest string) error {
	s.cfg.Entrypoint = s.command(rest)
	if len(s.cfg.Entrypoint) == 0 {
		s.cfg.Entrypoint = nil
	}
	if !s.cmdSet {
		s.cfg.Cmd = nil
	}
	return nil
}

func applyEnv(s *state, rest string) error {
	list, err := pairs("ENV", rest)
	if err != nil {
		return err
	}
	// All values see the environment before this instruction.
	expanded := make([]string, len(list))
	for n, p := range list {
		if p.name, err = s.expand(p.name); err != nil {
			return err
		}
		value, err := s.expand(p.value)
		if err != nil {
			return err
		}
		list[n].name = p.name
		expanded[n] = p.name + "=" + value
	}
	s.cfg.Env = slices.Clone(s.cfg.Env)
	for n, p := range list {
		at := slices.IndexFunc(s.cfg.Env, func(e string) bool { return e == p.name || strings.HasPrefix(e, p.name+"=") })
		if at >= 0 {
			s.cfg.Env[at] = expanded[n]
		} else {
			s.cfg.Env = append(s.cfg.Env, expanded[n])
		}
	}
	return nil
}

func applyLabel(s *state, rest string) error {
	list, err := pairs("LABEL", rest)
	if err != nil {
		return err
	}
	labels := map[string]string{}
	for k, v := range s.cfg.Labels {
		labels[k] = v
	}
	for _, p := range list {
		name, err := s.expand(p.name)
		if err != nil {
			return err
		}
		if labels[name], err = s.expand(p.value); err != nil {
			return err
		}
	}
	s.cfg.Labels = labels
	return nil
}

// maxPorts bounds what ranges in one EXPOSE may add up to: all ports of three protocols.
const maxPorts = 3 * 65536

func applyExpose(s *state, rest string) error {
	words, err := s.words("EXPOSE", rest)
	if err != nil {
		return err
	}
	ports := network.PortSet{}
	for p := range s.cfg.ExposedPorts {
		ports[p] = struct{}{}
	}
	for _, w := range words {
		// An address and a port of the host may stand before the container's; they do not belong to an image.
		port := w[strings.LastIndexByte(w, ':')+1:]
		list, err := network.ParsePortRange(port)
		if err != nil || list.Start() == 0 {
			return invalid("invalid containerPort: %s", port)
		}
		for p := range list.All() {
			if len(ports) >= maxPorts {
				return invalid("EXPOSE lists more than %d ports", maxPorts)
			}
			ports[p] = struct{}{}
		}
	}
	s.cfg.ExposedPorts = ports
	return nil
}

// words reads a list in either form, with at least one element.
func (s *state) words(instruction, rest string) ([]string, error) {
	list, ok := execForm(rest)
	if !ok {
		list = splitWords(rest)
	}
	if len(list) == 0 {
		return nil, invalid("%s requires at least one argument", instruction)
	}
	for n, w := range list {
		var err error
		if list[n], err = s.expand(w); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func applyOnbuild(s *state, rest string) error {
	trigger, _ := cutSpace(rest)
	switch t := strings.ToUpper(trigger); t {
	case "":
		return invalid("ONBUILD requires at least one argument")
	case "ONBUILD":
		return invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
	case "MAINTAINER", "FROM":
		return invalid("%s isn't allowed as an ONBUILD trigger", t)
	}
	s.cfg.OnBuild = append(slices.Clone(s.cfg.OnBuild), rest)
	return nil
}

// one expands the single argument of an instruction.
func (s *state) one(instruction, rest string) (string, error) {
	if rest == "" {
		return "", invalid("%s requires exactly one argument", instruction)
	}
	return s.expand(rest)
}

func applyStopSignal(s *state, rest string) error {
	name, err := s.one("STOPSIGNAL", rest)
	if err != nil {
		return err
	}
	if _, err := signal.ParseSignal(name); err != nil {
		return invalid("%v", err)
	}
	s.cfg.StopSignal = name
	return nil
}

func applyUser(s *state, rest string) (err error) {
	user, err := s.one("USER", rest)
	if err == nil {
		s.cfg.User = user
	}
	return err
}

func applyVolume(s *state, rest string) error {
	list, err := s.words("VOLUME", rest)
	if err != nil {
		return err
	}
	volumes := map[string]struct{}{}
	for v := range s.cfg.Volumes {
		volumes[v] = struct{}{}
	}
	for _, v := range list {
		if v = strings.TrimSpace(v); v == "" {
			return invalid("VOLUME specified can not be an empty string")
		}
		volumes[v] = struct{}{}
	}
	s.cfg.Volumes = volumes
	return nil
}

func applyWorkdir(s *state, rest string) error {
	dir, err := s.one("WORKDIR", rest)
	if err != nil {
		return err
	}
	if dir == "" {
		return invalid("cannot normalize nothing")
	}
	if !path.IsAbs(dir) {
		dir = path.Join("/", s.cfg.WorkingDir, dir)
	}
	s.cfg.WorkingDir = path.Clean(dir)
	return nil
}
