package bpf

import (
	"cmp"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// segment is the code for the numbers from one on, up to the next segment. Code always ends in a return.
type segment struct {
	from uint32
	code Program
}

// merge sorts segments, fills the beginning and joins neighbours that do the same.
func merge(segs []segment, fallback uint32) []segment {
	slices.SortStableFunc(segs, func(a, b segment) int { return cmp.Compare(a.from, b.from) })
	out := []segment{{0, ret(fallback)}}
	for _, s := range segs {
		last := &out[len(out)-1]
		switch {
		case slices.Equal(last.code, s.code):
		case last.from == s.from:
			last.code = s.code
		default:
			out = append(out, s)
		}
	}
	return out
}

// tree is a binary search for the accumulator among segments.
func tree(segs []segment) Program {
	if len(segs) == 1 {
		return segs[0].code
	}
	middle := len(segs) / 2
	below, above := tree(segs[:middle]), tree(segs[middle:])
	pivot := segs[middle].from
	var out Program
	if len(below) <= 255 { // a conditional jump's reach
		out = Program{jump(unix.BPF_JGE, pivot, len(below), 0)}
	} else {
		out = Program{jump(unix.BPF_JGE, pivot, 0, 1), always(len(below))}
	}
	return append(append(out, below...), above...)
}

// conditions tries the lists of conditions in turn.
func conditions(c *callRules, wide bool, fallback uint32) (Program, error) {
	var out Program
	for _, list := range c.any {
		// Every condition jumps over what is left of its list when it does not hold, so the last is made first.
		code := ret(c.action)
		for _, arg := range slices.Backward(list) {
			if arg.Index > 5 {
				return nil, fmt.Errorf("%w: argument %d", ErrUnsupported, arg.Index)
			}
			one, err := condition(arg, wide, len(code))
			if err != nil {
				return nil, err
			}
			code = append(one, code...)
		}
		out = append(out, code...)
	}
	return append(out, ret(fallback)...), nil
}

// condition falls through if it holds and skips as many further instructions if not.
func condition(arg specs.LinuxSeccompArg, wide bool, skip int) (Program, error) {
	op, ok := operators[arg.Op]
	if !ok {
		return nil, fmt.Errorf("%w: operator %s", ErrUnsupported, arg.Op)
	}
	value, mask := arg.Value, ^uint64(0)
	if arg.Op == specs.OpMaskedEqual {
		value, mask = arg.ValueTwo, arg.Value
	}
	pass, fail := 0, skip
	if op.negate {
		pass, fail = skip, 0
	}
	low := half(offArgs+8*int(arg.Index), uint32(mask))
	low = append(low, jump(op.jump, uint32(value), pass, fail))
	if !wide {
		return low, nil
	}
	n := len(low)
	high := half(offArgs+8*int(arg.Index)+4, uint32(mask>>32))
	if op.jump == unix.BPF_JEQ {
		// A different upper half settles it: not equal.
		return append(append(high, jump(unix.BPF_JEQ, uint32(value>>32), 0, fail+n)), low...), nil
	}
	// A larger upper half settles it, a smaller one too; equal ones leave it to the lower.
	high = append(high,
		jump(unix.BPF_JGT, uint32(value>>32), pass+n+1, 0),
		jump(unix.BPF_JEQ, uint32(value>>32), 0, fail+n))
	return append(high, low...), nil
}

// operators are built of those that BPF has.
var operators = map[specs.LinuxSeccompOperator]struct {
	jump   uint16
	negate bool
}{
	specs.OpEqualTo: {unix.BPF_JEQ, false}, specs.OpNotEqual: {unix.BPF_JEQ, true}, specs.OpMaskedEqual: {unix.BPF_JEQ, false},
	specs.OpGreaterThan: {unix.BPF_JGT, false}, specs.OpLessEqual: {unix.BPF_JGT, true},
	specs.OpGreaterEqual: {unix.BPF_JGE, false}, specs.OpLessThan: {unix.BPF_JGE, true},
}

// half loads 32 bits of an argument, under a mask.
func half(offset int, mask uint32) Program {
	out := Program{load(offset)}
	if mask != ^uint32(0) {
		out = append(out, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask})
	}
	return out
}

func load(offset int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(offset)}
}

func jump(op uint16, k uint32, yes, no int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | op, Jt: uint8(yes), Jf: uint8(no), K: k}
}

func always(skip int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(skip)}
}

func ret(action uint32) Program {
	return Program{{Code: unix.BPF_RET | unix.BPF_K, K: action}}
}
