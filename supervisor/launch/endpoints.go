package launch

import (
	"errors"
	"os"
)

// Endpoints are the container's sides of a process's stdio. nil files are the null device.
type Endpoints struct {
	Stdin, Stdout, Stderr *os.File
	// Terminal is where the master of the process's terminal is put; nil for none.
	Terminal **os.File
}

func (e Endpoints) files() [3]*os.File { return [3]*os.File{e.Stdin, e.Stdout, e.Stderr} }

// Close closes this process's copies: the container has its own.
func (e Endpoints) Close() error {
	var errs []error
	for _, f := range e.files() {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
