package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// scalar is a single value: the last one wins.
type scalar[T comparable] struct {
	p      *T
	parse  func(string) (T, error)
	format func(T) string
	plain  bool // the file has it bare, as a number or a boolean, not as a string
}

func (s scalar[T]) String() string { return s.format(*s.p) }
func (s scalar[T]) Type() string   { return "string" }

func (s scalar[T]) Set(text string) (err error) {
	*s.p, err = s.parse(text)
	return err
}

func (s scalar[T]) fromJSON(data []byte) error {
	text := string(bytes.TrimSpace(data))
	switch {
	case text == "null":
		return nil
	case s.plain:
		if _, boolean := any(*s.p).(bool); boolean && text != "true" && text != "false" {
			return fmt.Errorf("%s is neither true nor false", text)
		}
		if strings.HasPrefix(text, `"`) {
			return fmt.Errorf("%s is not a number", text)
		}
	default:
		if err := json.Unmarshal(data, &text); err != nil {
			return errors.New("not a string")
		}
	}
	if text == "" || text == "0" && s.plain {
		return nil
	}
	return s.Set(text)
}

func (s scalar[T]) toJSON() any {
	if s.plain {
		return *s.p
	}
	return s.String()
}

func (s scalar[T]) take(from value) { *s.p = *from.(scalar[T]).p }

func text(p *string) value {
	return scalar[string]{p: p, parse: func(s string) (string, error) { return s, nil }, format: func(s string) string { return s }}
}

// checked is text that a function judges.
func checked(p *string, check func(string) error) value {
	return scalar[string]{p: p, parse: func(s string) (string, error) { return s, check(s) }, format: func(s string) string { return s }}
}

func boolean(p *bool) value {
	return scalar[bool]{p: p, parse: strconv.ParseBool, format: strconv.FormatBool, plain: true}
}

func number(p *int) value {
	return scalar[int]{p: p, parse: strconv.Atoi, format: strconv.Itoa, plain: true}
}

func number64(p *int64) value {
	parse := func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
	return scalar[int64]{p: p, parse: parse, format: func(n int64) string { return strconv.FormatInt(n, 10) }, plain: true}
}

// seconds is a duration that both notations have as a number of seconds.
type seconds struct{ p *time.Duration }

func (s seconds) number() value {
	n := int(*s.p / time.Second)
	return number(&n)
}
func (s seconds) String() string  { return s.number().String() }
func (s seconds) Type() string    { return "int" }
func (s seconds) toJSON() any     { return int(*s.p / time.Second) }
func (s seconds) take(from value) { *s.p = *from.(seconds).p }

func (s seconds) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err == nil {
		*s.p = time.Duration(n) * time.Second
	}
	return err
}

func (s seconds) fromJSON(data []byte) error {
	n := s.number().(scalar[int])
	if err := n.fromJSON(data); err != nil {
		return err
	}
	*s.p = time.Duration(*n.p) * time.Second
	return nil
}

// size is a number of bytes with an optional unit, always text in the file.
func size(p *int64) value {
	parse := func(s string) (int64, error) {
		n, err := units.RAMInBytes(s)
		if err == nil && n <= 0 {
			err = fmt.Errorf("invalid size: %q", s)
		}
		return n, err
	}
	return scalar[int64]{p: p, parse: parse, format: func(n int64) string { return units.BytesSize(float64(n)) }}
}

// address is an IP address; the zero value is printed as an empty string.
func address(p *netip.Addr) value {
	return scalar[netip.Addr]{p: p, parse: parseAddress, format: formatAddress}
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return a, fmt.Errorf("%s is not an ip address", s)
	}
	return a, nil
}

func formatAddress(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// prefix is an address with a prefix length.
func prefix(p *netip.Prefix) value {
	parse := func(s string) (netip.Prefix, error) {
		n, err := netip.ParsePrefix(s)
		if err != nil {
			return n, fmt.Errorf("invalid CIDR address: %s", s)
		}
		return n, nil
	}
	format := func(n netip.Prefix) string {
		if !n.IsValid() {
			return ""
		}
		return n.String()
	}
	return scalar[netip.Prefix]{p: p, parse: parse, format: format}
}

// list has one value for each time the flag is given. The first one replaces the default.
type list[T any] struct {
	p      *[]T
	parse  func(string) (T, error)
	format func(T) string
	given  *bool
	unique bool // what is there already is not added again
	single bool // the file may have a string instead of a list
}

func newList[T any](p *[]T, parse func(string) (T, error), format func(T) string) list[T] {
	return list[T]{p: p, parse: parse, format: format, given: new(bool), unique: true}
}

// texts is a list of strings; check may be nil, and returns the value to keep.
func texts(p *[]string, check func(string) (string, error)) list[string] {
	if check == nil {
		check = func(s string) (string, error) { return s, nil }
	}
	return newList(p, check, func(s string) string { return s })
}

func addresses(p *[]netip.Addr) list[netip.Addr] { return newList(p, parseAddress, formatAddress) }

// gateways is at most one address of each family; the file may have a single one as a string.
func gateways(p *[]netip.Addr) list[netip.Addr] {
	l := addresses(p)
	l.single = true
	l.parse = func(s string) (netip.Addr, error) {
		a, err := parseAddress(s)
		for _, old := range *p {
			if err == nil && old.Is4() == a.Is4() {
				return a, fmt.Errorf("only one IPv4 and one IPv6 host gateway IP address can be specified: %s and %s", old, a)
			}
		}
		return a, err
	}
	return l
}

func (l list[T]) strings() []string {
	out := make([]string, 0, len(*l.p))
	for _, v := range *l.p {
		out = append(out, l.format(v))
	}
	return out
}

func (l list[T]) String() string  { return fmt.Sprint(l.strings()) }
func (l list[T]) Type() string    { return "list" }
func (l list[T]) toJSON() any     { return l.strings() }
func (l list[T]) take(from value) { *l.p = slices.Clone(*from.(list[T]).p) }

func (l list[T]) Set(text string) error {
	v, err := l.parse(text)
	if err != nil {
		return err
	}
	if !*l.given {
		*l.p, *l.given = nil, true
	}
	if l.unique && slices.Contains(l.strings(), l.format(v)) {
		return nil
	}
	*l.p = append(*l.p, v)
	return nil
}

func (l list[T]) fromJSON(data []byte) error {
	var all []string
	if l.single && bytes.HasPrefix(bytes.TrimSpace(data), []byte(`"`)) {
		all = make([]string, 1)
		if err := json.Unmarshal(data, &all[0]); err != nil {
			return errors.New("not a string")
		}
		if all[0] == "" {
			return nil
		}
	} else if err := json.Unmarshal(data, &all); err != nil {
		return errors.New("not a list of strings")
	}
	for _, s := range all {
		if err := l.Set(s); err != nil {
			return err
		}
	}
	return nil
}
