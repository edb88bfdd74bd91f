package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecOptions say how an exec differs from the container's own process.
type ExecOptions struct {
	Args       []string
	Env        []string // added to the container's
	Dir        string   // "" for the container's
	User       specs.User
	Home       string
	Terminal   bool
	Size       [2]uint // height, width
	Privileged bool
}

// Process makes the process of an exec from that of the container. Errors: invalid argument.
func Process(in Input, o ExecOptions) (*specs.Process, error) {
	b := &builder{Input: in}
	p, err := b.base()
	if err != nil {
		return nil, err
	}
	if o.Privileged {
		if p.Capabilities, err = b.capabilities(true); err != nil {
			return nil, err
		}
	}
	p.Args, p.User, p.Terminal = o.Args, o.User, o.Terminal
	p.User.Umask = in.Record.HostConfig.Umask
	p.Env = environment(in, o.Terminal, o.Home, o.Env)
	if o.Dir != "" {
		p.Cwd = o.Dir
	}
	if o.Terminal && (o.Size[0] != 0 || o.Size[1] != 0) {
		p.ConsoleSize = &specs.Box{Height: o.Size[0], Width: o.Size[1]}
	}
	return p, nil
}
