// Package listen opens the sockets that the API is served on.
//
// A host is a URL: unix://PATH, tcp://ADDRESS:PORT, or fd:// for all sockets that systemd has opened (socket activation),
// fd://N and fd://NAME for one of them by descriptor or name.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Config says what to open.
type Config struct {
	Hosts []string
	Group string // of Unix sockets; "" for this process's own
	// GroupOptional makes a group that the host does not have no error: the socket is root's alone then.
	GroupOptional bool
	TLS           *tls.Config // of tcp:// hosts; nil for none. See TLS.
	// Getenv finds what systemd says of fd:// sockets; nil for os.Getenv.
	Getenv func(string) string
}

// Listener is one open socket.
type Listener struct {
	net.Listener
	Host string // as in Config.Hosts, or where systemd's socket listens
}

// Open opens all hosts in order, or none. Warnings are for the log. Errors: another process listens there; a bad host.
func Open(ctx context.Context, cfg Config) (all []Listener, warnings []string, err error) {
	defer func() {
		if err != nil {
			for _, l := range all {
				err = errors.Join(err, l.Close())
			}
			all = nil
		}
	}()
	for _, host := range cfg.Hosts {
		scheme, rest, ok := strings.Cut(host, "://")
		if !ok {
			return all, warnings, fmt.Errorf("invalid bind address format: %s", host)
		}
		var opened []Listener
		var warning string
		switch scheme {
		case "unix":
			opened, warning, err = openUnix(ctx, rest, cfg)
		case "tcp":
			opened, err = openTCP(ctx, rest, cfg)
		case "fd":
			opened, err = openActivated(rest, cfg.Getenv)
		default:
			err = fmt.Errorf("invalid bind address format: %s", host)
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
		all = append(all, opened...)
		if err != nil {
			return all, warnings, fmt.Errorf("failed to load listeners: %w", err) // dockerd's words
		}
	}
	return all, warnings, nil
}

func openTCP(ctx context.Context, address string, cfg Config) ([]Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if cfg.TLS != nil {
		l = tls.NewListener(l, cfg.TLS)
	}
	return []Listener{{l, "tcp://" + l.Addr().String()}}, nil
}
