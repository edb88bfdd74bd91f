package logdriver

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// IsAttrOption reports whether a --log-opt says which details accompany every message.
func IsAttrOption(key string) bool {
	switch key {
	case "labels", "labels-regex", "env", "env-regex", "tag":
		return true
	default:
		return false
	}
}

// ValidateAttrs checks the options that Attrs reads. Errors: invalid argument.
func ValidateAttrs(options map[string]string) error {
	for _, key := range []string{"labels-regex", "env-regex"} {
		if _, err := regexp.Compile(options[key]); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid value for log opt %s: %v", key, err))
		}
	}
	_, err := parseTag(options["tag"])
	return err
}

// Attrs returns the labels and environment variables that the options select, and the tag, sorted by
// key. Errors: invalid argument.
func Attrs(info Info) ([]Attr, error) {
	values := map[string]string{}
	if err := choose(values, info.Labels, info.Options["labels"], info.Options["labels-regex"]); err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, e := range info.Env {
		if key, value, ok := strings.Cut(e, "="); ok {
			env[key] = value
		}
	}
	if err := choose(values, env, info.Options["env"], info.Options["env-regex"]); err != nil {
		return nil, err
	}
	tag, err := Tag(info, "")
	if err != nil {
		return nil, err
	}
	if tag != "" {
		values["tag"] = tag
	}
	attrs := make([]Attr, 0, len(values))
	for key, value := range values {
		attrs = append(attrs, Attr{key, value})
	}
	slices.SortFunc(attrs, func(a, b Attr) int { return strings.Compare(a.Key, b.Key) })
	return attrs, nil
}

// choose copies the values whose key is in the comma-separated list, or matches the expression.
func choose(to, from map[string]string, list, expression string) error {
	if list != "" {
		for _, key := range strings.Split(list, ",") {
			if value, ok := from[key]; ok {
				to[key] = value
			}
		}
	}
	if expression == "" {
		return nil
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	for key, value := range from {
		if re.MatchString(key) {
			to[key] = value
		}
	}
	return nil
}
