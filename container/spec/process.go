package spec

import (
	"slices"
	"strings"

	"gantry/security"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// defaultPath is the PATH of an image that has none, as documented by Docker.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// initPath is where the init binary is mounted; tools look for the name in ps and inspect.
	initPath = "/sbin/docker-init"
)

func (b *builder) process() error {
	r := b.Record
	p, err := b.base()
	if err != nil {
		return err
	}
	p.Args = append([]string{r.Path}, r.Args...)
	if b.wantsInit() {
		if b.Daemon.InitPath == "" {
			return invalid(`exec: "docker-init": executable file not found in $PATH`)
		}
		p.Args = append([]string{initPath, "--"}, p.Args...)
	}
	p.User = b.User
	p.User.Umask = r.HostConfig.Umask
	p.Env = environment(b.Input, r.Config.Tty, b.Home, nil)
	p.Terminal = r.Config.Tty
	if size := r.HostConfig.ConsoleSize; p.Terminal && (size[0] != 0 || size[1] != 0) {
		p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
	}
	b.spec.Process = p
	return nil
}

// base is what the container's own process and its execs share.
func (b *builder) base() (*specs.Process, error) {
	r := b.Record
	caps, err := b.capabilities(r.HostConfig.Privileged)
	if err != nil {
		return nil, err
	}
	limits, err := b.rlimits()
	if err != nil {
		return nil, err
	}
	score := b.oomScore()
	p := &specs.Process{
		Cwd:             r.Config.WorkingDir,
		Capabilities:    caps,
		Rlimits:         limits,
		NoNewPrivileges: r.NoNewPrivs,
		ApparmorProfile: r.AppArmor,
		SelinuxLabel:    r.ProcessLabel,
		OOMScoreAdj:     &score,
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	return p, nil
}

// wantsInit: an init reaps zombies, which only pid 1 of a namespace of the container's own can.
func (b *builder) wantsInit() bool {
	h := b.Record.HostConfig
	if !h.PidMode.IsPrivate() {
		return false
	}
	if h.Init != nil {
		return *h.Init
	}
	return b.Daemon.Init
}

// capabilities leaves the inheritable and ambient sets empty, so that a program started by
// another user than root gains nothing through file capabilities (CVE-2022-24769).
func (b *builder) capabilities(privileged bool) (*specs.LinuxCapabilities, error) {
	available := b.Daemon.Capabilities
	if available == nil {
		var err error
		if available, err = security.Available(); err != nil {
			return nil, err
		}
	}
	h := b.Record.HostConfig
	caps, err := security.Tweak(available, h.CapAdd, h.CapDrop, privileged)
	if err != nil {
		return nil, err
	}
	return &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}, nil
}

// environment joins what the daemon gives, what the container's configuration says and extra, of
// which the later wins. A name without a value removes the variable.
func environment(in Input, tty bool, home string, extra []string) []string {
	env := []string{"PATH=" + defaultPath, "HOSTNAME=" + in.Record.Config.Hostname}
	if tty {
		env = append(env, "TERM=xterm")
	}
	env = override(env, in.LinkEnv)
	env = override(env, in.Record.Config.Env)
	env = override(env, extra)
	if home != "" && !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		env = append(env, "HOME="+home)
	}
	return env
}

func override(env, with []string) []string {
	at := map[string]int{}
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		at[name] = i
	}
	removed := map[int]bool{}
	for _, e := range with {
		name, _, hasValue := strings.Cut(e, "=")
		i, exists := at[name]
		switch {
		case exists:
			env[i], removed[i] = e, !hasValue
		case hasValue:
			at[name] = len(env)
			env = append(env, e)
		}
	}
	out := env[:0]
	for i, e := range env {
		if !removed[i] {
			out = append(out, e)
		}
	}
	return out
}
