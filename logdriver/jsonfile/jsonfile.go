// Package jsonfile is the json-file log driver: a JSON object a line, in the file and the
// form that Docker writes, which log shippers read.
//
//	{"log":"hello\n","stream":"stdout","attrs":{"tag":"web"},"time":"2026-01-02T03:04:05.000000006Z"}
//
// A part of a line that is longer than logdriver.PartSize has no newline at the end of
// its "log".
package jsonfile

import (
	"gantry/logdriver"
	"gantry/logdriver/logfile"

	"github.com/containerd/errdefs"
)

// Name of the driver.
const Name = "json-file"

// Open opens the log at info.Path for writing. Errors: invalid argument.
func Open(info logdriver.Info) (logdriver.Writer, error) {
	o, err := parse(info.Options)
	if err != nil {
		return nil, err
	}
	attrs, err := logdriver.Attrs(info)
	if err != nil {
		return nil, err
	}
	raw := encodeAttrs(attrs)
	if len(raw) > logfile.MaxAttrs {
		return nil, errdefs.ErrInvalidArgument.WithMessage("the labels and environment variables selected for the log are too long")
	}
	return logfile.Open(logfile.Config{
		Path: info.Path, MaxSize: o.maxSize, MaxFiles: o.maxFiles, Compress: o.compress,
	}, &format{attrs: raw})
}

// OpenReader reads the log at info.Path, or one that Docker has written.
func OpenReader(info logdriver.Info) (logdriver.Reader, error) {
	return logfile.NewReader(info.Path, newFormat), nil
}
