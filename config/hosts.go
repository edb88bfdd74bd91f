package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The ports of the API, by convention: IANA has registered them for it.
const (
	plainPort = "2375"
	tlsPort   = "2376"
)

// completeHosts writes the hosts out in full: scheme, address and port.
func completeHosts(c *Config) error {
	hosts := c.Serve.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
		if c.env("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
			hosts = []string{"fd://"} // systemd has opened the sockets
		}
	}
	c.Serve.Hosts = nil
	for _, host := range hosts {
		full, err := parseHost(c, host)
		if err != nil {
			return err
		}
		if !slices.Contains(c.Serve.Hosts, full) {
			c.Serve.Hosts = append(c.Serve.Hosts, full)
		}
	}
	own := "unix://" + dockerSocket
	if c.dockerSocket && !slices.Contains(c.Serve.Hosts, own) {
		c.Serve.Hosts = append(c.Serve.Hosts, own)
	}
	return checkTCP(c)
}

// checkTCP refuses to hand root on this host to whoever reaches a port, unless that was said twice: by the
// host and by switching TLS off in so many words.
func checkTCP(c *Config) error {
	for _, host := range c.Serve.Hosts {
		if !strings.HasPrefix(host, "tcp://") || c.Serve.TLS.Verify {
			continue
		}
		if !c.Serve.TLS.Enabled && !c.Serve.TLS.Disabled {
			return fmt.Errorf("refusing to listen on %s without TLS, which gives root on this host to everybody who reaches the port: "+
				"set up --tlsverify, or say --tls=false if that is what you want", host)
		}
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: binding to an IP address without --tlsverify is insecure and gives root access "+
			"on this machine to everyone who has access to your network", host))
	}
	return nil
}

// parseHost completes one host. Errors: in dockerd's words.
func parseHost(c *Config, host string) (string, error) {
	host = strings.TrimSpace(host)
	scheme, rest, ok := strings.Cut(host, "://")
	if !ok {
		scheme, rest = "tcp", host // an address alone
		if host == "" {
			scheme = "unix"
		} else if host == "fd" {
			scheme, rest = "fd", ""
		}
	}
	switch scheme {
	case "unix":
		if rest == "" {
			rest = c.ownSocket()
		}
		if strings.Contains(rest, "://") {
			return "", fmt.Errorf("invalid unix address: %s", rest)
		}
		return "unix://" + rest, nil
	case "fd":
		return "fd://" + rest, nil
	case "tcp":
		return parseTCP(c, host, rest)
	}
	return "", fmt.Errorf("invalid bind address format: %s", host)
}

func parseTCP(c *Config, host, rest string) (string, error) {
	u, err := url.Parse("tcp://" + rest)
	if err != nil {
		return "", fmt.Errorf("invalid bind address (%s): %w", host, err)
	}
	if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("invalid bind address (%s): should not contain a path, query, fragment or user", host)
	}
	name, port := u.Hostname(), u.Port()
	if name == "" {
		name = "127.0.0.1"
	}
	if port == "" {
		port = plainPort
		if c.Serve.TLS.Enabled {
			port = tlsPort
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", fmt.Errorf("invalid bind address (%s): invalid port: %s", host, port)
	}
	return "tcp://" + net.JoinHostPort(name, port), nil
}
