package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// cgroupDriver is the one exec-opt there is.
const cgroupDriver = "native.cgroupdriver"

func checkLogLevel(s string) error {
	if slices.Contains([]string{"debug", "info", "warn", "warning", "error", "fatal", "panic", "trace"}, strings.ToLower(s)) {
		return nil
	}
	return fmt.Errorf("invalid logging level: %s", s)
}

func checkLogFormat(s string) error {
	if s == "text" || s == "json" {
		return nil
	}
	return fmt.Errorf("invalid log format: %s", s)
}

func checkIpcMode(s string) error {
	if s == "private" || s == "shareable" {
		return nil
	}
	return fmt.Errorf(`default IPC mode setting (%s) is invalid; use "shareable" or "private"`, s)
}

func checkCgroupnsMode(s string) error {
	if s == "private" || s == "host" {
		return nil
	}
	return fmt.Errorf(`default cgroup namespace mode (%s) is invalid; use "host" or "private"`, s)
}

func checkFirewall(s string) error {
	switch s {
	case "nftables":
		return nil
	case "iptables":
		return errors.New("firewall-backend: gantry has no iptables backend yet: leave the option out, or use nftables")
	}
	return fmt.Errorf(`invalid firewall-backend %q: use "nftables"`, s)
}

func checkExecOption(s string) (string, error) {
	key, v, ok := strings.Cut(s, "=")
	switch {
	case !ok:
		return "", fmt.Errorf("invalid exec-opt %q: want KEY=VALUE", s)
	case strings.TrimSpace(key) != cgroupDriver:
		return s, nil // complete warns
	case v != "cgroupfs" && v != "systemd":
		return "", fmt.Errorf("native.cgroupdriver option %s not supported", v)
	}
	return cgroupDriver + "=" + v, nil
}

func checkLabel(s string) (string, error) {
	key, _, ok := strings.Cut(s, "=")
	switch {
	case !ok:
		return "", fmt.Errorf("bad attribute format: %s", s)
	case strings.TrimSpace(key) == "":
		return "", fmt.Errorf("invalid label '%s': empty name", s)
	}
	return s, nil
}

func checkAbsolute(s string) (string, error) {
	if !filepath.IsAbs(s) {
		return "", fmt.Errorf("%s is not an absolute path", s)
	}
	return filepath.Clean(s), nil
}

// searchDomain is at most 255 characters of letters, digits, dots, hyphens and underscores, with a letter.
var searchDomain = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

func checkSearch(s string) (string, error) {
	trimmed := strings.TrimSpace(s)
	if trimmed == "." || len(trimmed) <= 255 && searchDomain.MatchString(trimmed) && strings.ContainsFunc(trimmed, isLetter) {
		return trimmed, nil
	}
	return "", fmt.Errorf("%s is not a valid domain", s)
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// checkAPIVersion accepts MAJOR.MINOR from 1.24 on. What the newest is, the API knows.
func checkAPIVersion(s string) error {
	if strings.HasPrefix(s, "v") {
		return errors.New(`API version must be provided without "v" prefix`)
	}
	minor, ok := strings.CutPrefix(s, "1.")
	n, err := strconv.Atoi(minor)
	switch {
	case !ok || err != nil:
		return fmt.Errorf("invalid API version: %q", s)
	case n < 24:
		return fmt.Errorf("minimum supported API version is 1.24: %s", s)
	}
	return nil
}
