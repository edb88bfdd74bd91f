package jsonfile

import (
	"fmt"
	"strconv"

	"gantry/logdriver"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

const (
	// DefaultMaxSize and DefaultMaxFiles bound a log whose options do not: see
	// docs/decisions/0001-bounded-json-logs.md. Bytes.
	DefaultMaxSize  = 100_000_000
	DefaultMaxFiles = 3

	// unbounded is the max-size that asks for what is Docker's default.
	unbounded = "-1"
)

type options struct {
	maxSize  int64 // bytes; 0 for no bound
	maxFiles int
	compress bool
}

// Validate checks --log-opt. Errors: invalid argument, in dockerd's words.
func Validate(given map[string]string) error {
	for key := range given {
		switch key {
		case "max-size", "max-file", "compress":
		default:
			if !logdriver.IsAttrOption(key) {
				return invalid("unknown log opt '%s' for json-file log driver", key)
			}
		}
	}
	if _, err := parse(given); err != nil {
		return err
	}
	return logdriver.ValidateAttrs(given)
}

func parse(given map[string]string) (options, error) {
	o := options{maxSize: DefaultMaxSize, maxFiles: DefaultMaxFiles}
	if s, ok := given["max-size"]; ok && s == unbounded {
		o.maxSize, o.maxFiles = 0, 1
	} else if ok {
		size, err := units.FromHumanSize(s)
		if err != nil {
			return o, invalid("%v", err)
		}
		if size <= 0 {
			return o, invalid("max-size must be a positive number")
		}
		o.maxSize = size
	}
	if s, ok := given["max-file"]; ok {
		n, err := strconv.Atoi(s)
		if err != nil {
			return o, invalid("%v", err)
		}
		if n < 1 {
			return o, invalid("max-file cannot be less than 1")
		}
		o.maxFiles = n
	}
	if s, ok := given["compress"]; ok {
		compress, err := strconv.ParseBool(s)
		if err != nil {
			return o, invalid("%v", err)
		}
		if compress && (o.maxFiles == 1 || o.maxSize == 0) {
			return o, invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
		}
		o.compress = compress
	}
	return o, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
