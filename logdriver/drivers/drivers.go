// Package drivers is the table of log drivers.
package drivers

import (
	"fmt"
	"slices"

	"gantry/logdriver"
	"gantry/logdriver/jsonfile"
	"gantry/logdriver/local"

	"github.com/containerd/errdefs"
)

// None is the driver that keeps nothing.
const None = "none"

type driver struct {
	name       string
	open       func(logdriver.Info) (logdriver.Writer, error)
	openReader func(logdriver.Info) (logdriver.Reader, error) // nil if the log cannot be read back
	validate   func(options map[string]string) error
}

// table lists what there is, by name.
func table() []driver {
	return []driver{
		{name: jsonfile.Name, open: jsonfile.Open, openReader: jsonfile.OpenReader, validate: jsonfile.Validate},
		{name: local.Name, open: local.Open, openReader: local.OpenReader, validate: local.Validate},
		{name: None, open: openNothing, validate: func(map[string]string) error { return nil }},
	}
}

// awaited are the drivers of dockerd that gantry does not have yet.
func awaited() []string {
	return []string{"awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog"}
}

// Names lists the drivers that can be used.
func Names() []string {
	var names []string
	for _, d := range table() {
		names = append(names, d.name)
	}
	return names
}

func find(name string) (driver, error) {
	for _, d := range table() {
		if d.name == name {
			return d, nil
		}
	}
	if slices.Contains(awaited(), name) {
		return driver{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"logger: the log driver '%s' has not landed in gantry yet: use one of %v", name, Names()))
	}
	return driver{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("error looking up logging plugin %s: plugin %q not found", name, name))
}

// Open opens a container's log for writing. Errors: invalid argument (name, options).
func Open(name string, info logdriver.Info) (logdriver.Writer, error) {
	d, err := find(name)
	if err != nil {
		return nil, err
	}
	buffer, err := bufferSize(info.Options)
	if err != nil {
		return nil, err
	}
	w, err := d.open(info)
	if err != nil || buffer == 0 {
		return w, err
	}
	return newNonBlocking(w, buffer), nil
}

// OpenReader opens a container's log for reading; no writer need be alive. Errors: invalid argument (name); not
// implemented (a log that cannot be read back).
func OpenReader(name string, info logdriver.Info) (logdriver.Reader, error) {
	d, err := find(name)
	if err != nil {
		return nil, err
	}
	if d.openReader == nil {
		return nil, errdefs.ErrNotImplemented.WithMessage("configured logging driver does not support reading")
	}
	return d.openReader(info)
}

// Validate checks a driver's name and --log-opt. Errors: invalid argument, in dockerd's words.
func Validate(name string, options map[string]string) error {
	if name == None {
		return nil
	}
	if _, err := bufferSize(options); err != nil {
		return err
	}
	d, err := find(name)
	if err != nil {
		return err
	}
	own := map[string]string{}
	for key, value := range options {
		if key != optionMode && key != optionBuffer {
			own[key] = value
		}
	}
	return d.validate(own)
}

// nothing is the writer of the driver none.
type nothing struct{}

func openNothing(logdriver.Info) (logdriver.Writer, error) { return nothing{}, nil }

func (nothing) Log(*logdriver.Message) error { return nil }
func (nothing) Flush() error                 { return nil }
func (nothing) Close() error                 { return nil }
