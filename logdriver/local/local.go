// Package local is the local log driver: small binary records in files that are rotated
// and compressed by default, in the form that Docker writes.
//
// A record is its size as four bytes, big endian, a protobuf message, and the size again, so
// that a file can be read from both ends:
//
//	message LogEntry {
//		string source = 1;
//		int64 time_nano = 2;
//		bytes line = 3;
//		bool partial = 4; // a part of a line, the last one included
//		PartialLogEntryMetadata partial_log_metadata = 5;
//		repeated LogAttr attrs = 6; // engines that know no attributes skip them
//	}
//	message PartialLogEntryMetadata { bool last = 1; string id = 2; int32 ordinal = 3; }
//	message LogAttr { string key = 1; string value = 2; }
package local

import (
	"os"
	"path/filepath"

	"gantry/logdriver"
	"gantry/logdriver/logfile"

	"github.com/containerd/errdefs"
)

const (
	// Name of the driver.
	Name = "local"

	// fileName of the log in the directory that Info.Path names.
	fileName = "container.log"
)

// Open opens the log in the directory info.Path for writing, and makes the directory. Errors:
// invalid argument.
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
	if err := os.MkdirAll(info.Path, 0o700); err != nil {
		return nil, err
	}
	return logfile.Open(logfile.Config{
		Path: filepath.Join(info.Path, fileName), MaxSize: o.maxSize, MaxFiles: o.maxFiles, Compress: o.compress,
	}, &format{attrs: raw})
}

// OpenReader reads the log in the directory info.Path, or one that Docker has written.
func OpenReader(info logdriver.Info) (logdriver.Reader, error) {
	return logfile.NewReader(filepath.Join(info.Path, fileName), newFormat), nil
}
