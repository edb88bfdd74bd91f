package config

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// option is one setting.
type option struct {
	name  string // flag; "" for a key that is in the file alone
	short string // one letter, or ""
	keys  []string
	value value
	help  string // whole sentences; the first stands for itself
	arg   string // what the flag's value is called in the help, "" for a switch

	choices    []string // for completion, and checked unless the value says more
	completion hint
	reloadable bool
	cliOnly    bool   // not in the file
	later      string // what is missing that would act on the option: "authorization plugins"
	ignored    string // why the option is accepted and changes nothing
	secret     bool   // holds credentials: never printed whole
}

// hint is what the shell completes a value with.
type hint int

const (
	hintNone hint = iota
	hintFile
	hintDir
)

// value is where an option's value is kept, with its two notations.
type value interface {
	pflag.Value
	// fromJSON takes the value from the file. An empty string, list or number leaves the default, as in dockerd.
	fromJSON(data []byte) error
	// toJSON is what the file would say.
	toJSON() any
	// take copies the value of the same option of another Config.
	take(from value)
}

// group is the options of one concern, in the order of the help.
type group struct {
	title   string
	options []option
}

// table is all options.
type table []group

// table binds all options to c.
func (c *Config) table() table {
	return table{
		{"Files and directories", fileOptions(c)},
		{"The API", serveOptions(c)},
		{"Logs of the daemon", logOptions(c)},
		{"The engine", engineOptions(c)},
		{"Images and registries", registryOptions(c)},
		{"Storage", storageOptions(c)},
		{"Containers", containerOptions(c)},
		{"OCI runtimes", runtimeOptions(c)},
		{"Networks", networkTable(c)},
		{"Accepted for compatibility", ignoredOptions(c)},
		{"Not available yet", laterOptions(c)},
	}
}

// all visits every option in order.
func (t table) all(visit func(*option)) {
	for g := range t {
		for i := range t[g].options {
			visit(&t[g].options[i])
		}
	}
}

// byKey finds the option of a key of the file.
func (t table) byKey(key string) *option {
	var found *option
	t.all(func(o *option) {
		for _, k := range o.fileKeys() {
			if k == key {
				found = o
			}
		}
	})
	return found
}

// fileKeys are the keys of the option in the file; the first is the one to use.
func (o *option) fileKeys() []string {
	switch {
	case o.cliOnly:
		return nil
	case len(o.keys) > 0:
		return o.keys
	}
	return []string{o.name}
}

// id is what the option is called in Config.Set and in messages.
func (o *option) id() string {
	if o.name != "" {
		return o.name
	}
	return o.keys[0]
}

// text is the value as messages show it.
func (o *option) text() string {
	if o.secret {
		return maskURL(o.value.String())
	}
	return o.value.String()
}

// parse reads the arguments. Errors: ErrUsage.
func (t table) parse(program string, args []string) (*pflag.FlagSet, error) {
	flags := t.flagSet(program)
	if err := flags.Parse(args); err != nil {
		return nil, usageError{fmt.Sprintf("%v\nSee '%s --help'.", err, program)}
	}
	if flags.NArg() > 0 {
		return nil, usageError{fmt.Sprintf("%q accepts no arguments: %s\nSee '%s --help'.", program, strings.Join(flags.Args(), " "), program)}
	}
	return flags, nil
}

func (t table) flagSet(program string) *pflag.FlagSet {
	flags := pflag.NewFlagSet(program, pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {}
	t.all(func(o *option) {
		if o.name == "" {
			return
		}
		f := flags.VarPF(o.value, o.name, o.short, o.help)
		if o.arg == "" {
			f.NoOptDefVal = "true"
		}
	})
	return flags
}
