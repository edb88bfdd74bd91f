package api

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// version is an API version, 1.24 and up.
type version struct{ major, minor int }

// The versions that are served. Newest is the one that the types of github.com/moby/moby/api describe.
var (
	Oldest = v(24)
	Newest = v(56)
)

// v is API version 1.minor.
func v(minor int) version { return version{1, minor} }

func (a version) String() string { return fmt.Sprintf("%d.%d", a.major, a.minor) }

func (a version) less(b version) bool {
	return a.major < b.major || a.major == b.major && a.minor < b.minor
}

// before reports whether a is older than API version 1.minor.
func (a version) before(minor int) bool { return a.less(v(minor)) }

// parseVersion reads "1.24". dockerd's routes take any digits and dots: an empty part counts as zero, and what comes after the
// second is ignored.
func parseVersion(s string) (version, bool) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return version{}, false
	}
	parts := strings.Split(s, ".")
	var numbers [2]int
	for i := range min(len(parts), len(numbers)) {
		if parts[i] == "" {
			continue
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return version{}, false
		}
		numbers[i] = n
	}
	return version{numbers[0], numbers[1]}, true
}

// splitVersion cuts the prefix /v1.24 off a path. Without one, found is false and rest is the path.
func splitVersion(path string) (text, rest string, found bool) {
	if !strings.HasPrefix(path, "/v") {
		return "", path, false
	}
	text, rest, _ = strings.Cut(path[len("/v"):], "/")
	if text == "" || strings.Trim(text, "0123456789.") != "" {
		return "", path, false
	}
	return text, "/" + rest, true
}

// negotiate settles the version that a request is answered in; text is its prefix, "" for none. Errors: invalid
// argument, in dockerd's words, which clients show to their users.
func (s *Server) negotiate(text string) (version, error) {
	if text == "" {
		return Newest, nil
	}
	asked, ok := parseVersion(text)
	switch {
	case !ok || Newest.less(asked):
		return asked, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"client version %s is too new. Maximum supported API version is %s", text, Newest))
	case asked.less(s.oldest):
		return asked, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", text, s.oldest))
	}
	return asked, nil
}
