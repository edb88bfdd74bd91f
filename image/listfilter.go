package image

import (
	"context"
	"fmt"
	"time"

	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// listFilter returns what decides whether an image is listed. Errors: invalid argument, not found.
func (s *shelf) listFilter(ctx context.Context, f filter.Args) (func(*entry) bool, error) {
	if err := f.Validate("dangling", "label", "label!", "before", "since", "reference", "until"); err != nil {
		return nil, err
	}
	var tests []func(*entry) bool
	if f.Has("dangling") {
		want, err := f.Bool("dangling", false)
		if err != nil {
			return nil, err
		}
		tests = append(tests, func(e *entry) bool { return e.dangling() == want })
	}
	age, err := s.ageFilter(ctx, f)
	if err != nil {
		return nil, err
	}
	tests = append(tests, age...)
	if f.Has("reference") {
		if err := checkPatterns(f.Get("reference")); err != nil {
			return nil, err
		}
		tests = append(tests, func(e *entry) bool { return matchesReference(e, f.Get("reference")) })
	}
	tests = append(tests, labelTest(f))
	return func(e *entry) bool {
		for _, t := range tests {
			if !t(e) {
				return false
			}
		}
		return true
	}, nil
}

// labelTest is the filters label and label!.
func labelTest(f filter.Args) func(*entry) bool {
	return func(e *entry) bool {
		if !f.Labels("label", e.labels()) {
			return false
		}
		for _, not := range f.Get("label!") {
			if (filter.Args{"label": {not}}).Labels("label", e.labels()) {
				return false
			}
		}
		return true
	}
}

// ageFilter is the filters before and since, which name images, and until, a time.
func (s *shelf) ageFilter(ctx context.Context, f filter.Args) ([]func(*entry) bool, error) {
	var tests []func(*entry) bool
	for _, key := range []string{"before", "since"} {
		for _, ref := range f.Get(key) {
			found, err := s.names.find(ctx, ref)
			if err != nil {
				return nil, err
			}
			other := &entry{target: found.target}
			s.fill(ctx, other)
			if key == "before" {
				tests = append(tests, func(e *entry) bool { return e.created().Before(other.created()) })
			} else {
				tests = append(tests, func(e *entry) bool { return e.created().After(other.created()) })
			}
		}
	}
	until, err := untilTest(f)
	if err != nil {
		return nil, err
	}
	return append(tests, until), nil
}

// untilTest is the filter until: images made before that time.
func untilTest(f filter.Args) (func(*entry) bool, error) {
	limit, err := f.Until(time.Now())
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool { return limit.IsZero() || e.created().Before(limit) }, nil
}

func checkPatterns(patterns []string) error {
	probe, err := reference.WithName("x")
	if err != nil {
		return err
	}
	for _, p := range patterns {
		if _, err := reference.FamiliarMatch(p, probe); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid reference filter %q: %v", p, err))
		}
	}
	return nil
}

// matchesReference reports whether one of the image's names matches a pattern, with or without its tag.
func matchesReference(e *entry, patterns []string) bool {
	for _, i := range e.names {
		named, err := reference.ParseNormalizedNamed(i.Name)
		if err != nil || isDangling(i.Name) {
			continue
		}
		for _, p := range patterns {
			// FamiliarMatch tries the name with its tag, then without.
			if ok, err := reference.FamiliarMatch(p, named); err == nil && ok {
				return true
			}
		}
	}
	return false
}
