package bpf

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// callRules is what holds for one system call of one ABI.
type callRules struct {
	action uint32                    // of all its rules
	always bool                      // whatever the arguments
	any    [][]specs.LinuxSeccompArg // otherwise: if all conditions of one list hold
}

// segments returns the code for every system call that rules name.
func segments(f *specs.LinuxSeccomp, a arch, fallback uint32) ([]segment, error) {
	calls := map[uint32]*callRules{}
	for _, rule := range f.Syscalls {
		act, err := action(rule.Action, rule.ErrnoRet)
		if err != nil {
			return nil, err
		}
		if act == fallback {
			continue
		}
		for _, name := range rule.Names {
			for _, call := range a.find(name, rule.Args) {
				if err := add(calls, call, act); err != nil {
					return nil, fmt.Errorf("%w of %s", err, name)
				}
			}
		}
	}
	var out []segment
	for number, c := range calls {
		code := ret(c.action)
		if !c.always {
			var err error
			if code, err = conditions(c, a.wide, fallback); err != nil {
				return nil, err
			}
		}
		out = append(out, segment{number, code})
		if _, named := calls[number+1]; !named {
			out = append(out, segment{number + 1, ret(fallback)})
		}
	}
	return out, nil
}

// call is a number with the conditions for it.
type call struct {
	number uint32
	args   []specs.LinuxSeccompArg
}

// find returns the calls that a name stands for in an ABI; none if it does not have it.
func (a arch) find(name string, args []specs.LinuxSeccompArg) []call {
	numbers := a.numbers()
	var out []call
	if n, ok := numbers[name]; ok {
		out = append(out, call{n, args})
	}
	for mux, table := range map[string]map[string]uint32{"socketcall": socketCalls(), "ipc": ipcCalls()} {
		n, ok := table[name]
		if _, has := numbers[mux]; !ok || !has {
			continue
		}
		// The arguments proper are behind a pointer, where no filter can look: the first is lost, as it is in libseccomp.
		rest := slices.DeleteFunc(slices.Clone(args), func(c specs.LinuxSeccompArg) bool { return c.Index == 0 })
		which := specs.LinuxSeccompArg{Index: 0, Value: uint64(n), Op: specs.OpEqualTo}
		out = append(out, call{numbers[mux], append([]specs.LinuxSeccompArg{which}, rest...)})
	}
	return out
}

// add joins a rule to those of its call. Rules of one call that do different things are an order that each
// compiler sees in its own way: they are left to the runtime's.
func add(calls map[uint32]*callRules, c call, act uint32) error {
	have := calls[c.number]
	if have == nil {
		have = &callRules{action: act}
		calls[c.number] = have
	}
	if have.action != act {
		return fmt.Errorf("%w: different actions", ErrUnsupported)
	}
	if len(c.args) == 0 {
		have.always = true
		return nil
	}
	// Two conditions on one argument are alternatives: what runtimes make of it, since libseccomp takes one.
	seen := map[uint]bool{}
	for _, arg := range c.args {
		if seen[arg.Index] {
			for _, alternative := range c.args {
				have.any = append(have.any, []specs.LinuxSeccompArg{alternative})
			}
			return nil
		}
		seen[arg.Index] = true
	}
	have.any = append(have.any, c.args)
	return nil
}
