package local

import (
	"fmt"
	"strconv"

	"gantry/logdriver"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// Docker's defaults: 20 MiB, five files, compressed.
const (
	defaultMaxSize  = 20 << 20
	defaultMaxFiles = 5
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
				return invalid("unknown log opt '%s' for log driver %s", key, Name)
			}
		}
	}
	if _, err := parse(given); err != nil {
		return err
	}
	return logdriver.ValidateAttrs(given)
}

func parse(given map[string]string) (options, error) {
	o := options{maxSize: defaultMaxSize, maxFiles: defaultMaxFiles, compress: true}
	var err error
	if s, ok := given["max-size"]; ok {
		if o.maxSize, err = units.FromHumanSize(s); err != nil {
			return o, invalid("invalid value for max-size: %s: %v", s, err)
		}
	}
	if s, ok := given["max-file"]; ok {
		if o.maxFiles, err = strconv.Atoi(s); err != nil {
			return o, invalid("invalid value for max-file: %s: %v", s, err)
		}
	}
	if s, ok := given["compress"]; ok {
		if o.compress, err = strconv.ParseBool(s); err != nil {
			return o, invalid("invalid value for compress: %s: %v", s, err)
		}
	}
	switch {
	case o.maxSize < 0:
		return o, invalid("max size should be a positive number")
	case o.maxFiles < 0:
		return o, invalid("max file count cannot be less than 0")
	case o.compress && o.maxFiles <= 1:
		return o, invalid("compression cannot be enabled when max file count is 1")
	}
	return o, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
