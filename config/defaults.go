package config

import (
	"path/filepath"
	"strings"
	"time"
)

// Docker's own places, for a daemon that was called as dockerd, and its well-known socket.
const (
	dockerSocket = "/var/run/docker.sock"
	dockerGroup  = "docker"
)

// Default is the configuration without flags, file and environment.
func Default(program string) *Config {
	c := &Config{
		Program:         "gantryd",
		File:            "/etc/gantry/daemon.json",
		DataRoot:        "/var/lib/gantry",
		ExecRoot:        "/run/gantry",
		Pidfile:         "/run/gantry/gantryd.pid",
		ShutdownTimeout: 15 * time.Second,
		Log:             Log{Level: "info", Format: "text"},
		Serve:           Serve{Group: dockerGroup},
		Containers: Containers{
			LogDriver: "json-file", ShmSize: 64 << 20, IpcMode: "private",
			CDISpecDirs: []string{"/etc/cdi", "/var/run/cdi"},
		},
		Network: Network{
			ICC: true, IPForward: true, IPMasq: true, IPTables: true, IP6Tables: true, UserlandProxy: true,
			ControlMTU: 1500,
		},
		Registry: Registry{MaxDownloads: 3, MaxUploads: 5, MaxDownloadRetries: 5},
		Later:    Later{ContainerdNamespace: "moby", ContainerdPluginsNamespace: "plugins.moby"},
		env:      func(string) string { return "" },
		set:      map[string]bool{},
	}
	if filepath.Base(program) == "dockerd" {
		c.Program = "dockerd"
		c.File = "/etc/docker/daemon.json"
		c.DataRoot = "/var/lib/docker"
		c.ExecRoot = "/var/run/docker"
		c.Pidfile = "/var/run/docker.pid"
	}
	return c
}

// ownSocket is where the API is when no host is given.
func (c *Config) ownSocket() string {
	if c.Program == "dockerd" {
		return dockerSocket
	}
	return "/run/gantry/gantry.sock"
}

// complete fills in what follows from other settings.
func (c *Config) complete() error {
	c.Serve.GroupSet = c.Set("group")
	tls := &c.Serve.TLS
	tls.Disabled = !tls.Verify && c.Set("tlsverify") || !tls.Enabled && c.Set("tls")
	// Whoever mentions tlsverify wants TLS, unless tls says otherwise: so it is in dockerd.
	tls.Enabled = tls.Enabled || tls.Verify || c.Set("tlsverify") && !c.Set("tls")
	c.completeCertificates()
	for _, opt := range c.Containers.ExecOptions {
		if key, v, _ := strings.Cut(opt, "="); key == cgroupDriver {
			c.Containers.SystemdCgroup = v == "systemd"
		} else {
			c.Warnings = append(c.Warnings, "exec-opt "+opt+" is unknown and has no effect")
		}
	}
	return completeHosts(c)
}

// completeCertificates points at the files that clients of this user have, too.
func (c *Config) completeCertificates() {
	dir := c.env("DOCKER_CERT_PATH")
	if dir == "" {
		dir = c.env("DOCKER_CONFIG")
	}
	if dir == "" {
		dir = filepath.Join(c.env("HOME"), ".docker")
	}
	for _, f := range []struct {
		p    *string
		name string
	}{{&c.Serve.TLS.CA, "ca.pem"}, {&c.Serve.TLS.Cert, "cert.pem"}, {&c.Serve.TLS.Key, "key.pem"}} {
		if *f.p == "" {
			*f.p = filepath.Join(dir, f.name)
		}
	}
}
