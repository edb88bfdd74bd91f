package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// pools is base=PREFIX,size=N on the command line, and a list of objects in the file.
type pools struct{ p *[]Pool }

func (v pools) Type() string    { return "pool-options" }
func (v pools) take(from value) { *v.p = slices.Clone(*from.(pools).p) }

func (v pools) String() string {
	var out []string
	for _, pool := range *v.p {
		out = append(out, fmt.Sprintf("{%s %d}", pool.Base, pool.Size))
	}
	return strings.Join(out, " ")
}

// poolJSON is a Pool in the file.
type poolJSON struct {
	Base string `json:"base"`
	Size int    `json:"size"`
}

func (v pools) toJSON() any {
	var out []poolJSON
	for _, pool := range *v.p {
		out = append(out, poolJSON{pool.Base.String(), pool.Size})
	}
	return out
}

func (v pools) fromJSON(data []byte) error {
	var all []poolJSON
	if err := json.Unmarshal(data, &all); err != nil {
		return errors.New(`not a list of objects with "base" and "size"`)
	}
	for _, entry := range all {
		if err := v.add(entry.Base, entry.Size); err != nil {
			return err
		}
	}
	return nil
}

func (v pools) Set(text string) error {
	base, size := "", 0
	for item := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(item, "=")
		if !ok {
			return fmt.Errorf("invalid field '%s' must be a key=value pair", item)
		}
		switch strings.ToLower(key) {
		case "base":
			base = value
		case "size":
			n, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("invalid size value: %q (must be integer): %w", value, err)
			}
			size = n
		default:
			return fmt.Errorf("unexpected key '%s' in '%s'", key, item)
		}
	}
	return v.add(base, size)
}

func (v pools) add(base string, size int) error {
	prefix, err := netip.ParsePrefix(base)
	if err != nil {
		return fmt.Errorf("invalid base prefix %q: %w", base, err)
	}
	if size < prefix.Bits() || size > prefix.Addr().BitLen() {
		return fmt.Errorf("invalid pool size %d for %s: must be between %d and %d", size, base, prefix.Bits(), prefix.Addr().BitLen())
	}
	*v.p = append(*v.p, Pool{Base: prefix.Masked(), Size: size})
	return nil
}
