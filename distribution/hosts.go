package distribution

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	hostsconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/net/http/httpproxy"
)

// hub is the domain of Docker Hub in names, hubHost the host that serves it.
const (
	hub     = "docker.io"
	hubHost = "registry-1.docker.io"
)

// maxHeader bounds what a registry may send before a body, in bytes.
const maxHeader = 256 << 10

// lookupTimeout bounds the question whether a registry's address is in an insecure network.
const lookupTimeout = 5 * time.Second

// directory knows the hosts of registries, for one generation of settings.
type directory struct {
	cfg *Config
	set Settings

	mu      sync.Mutex // guards known
	known   map[string][]docker.RegistryHost
	clients []*http.Client
}

func newDirectory(cfg *Config, set Settings) *directory {
	return &directory{cfg: cfg, set: set, known: map[string][]docker.RegistryHost{}}
}

// hosts lists what serves a registry, in the order in which it is to be asked. The registry itself is the last.
func (d *directory) hosts(ctx context.Context, registry string) ([]docker.RegistryHost, error) {
	d.mu.Lock()
	known, ok := d.known[registry]
	d.mu.Unlock()
	if ok {
		return known, nil
	}
	var all []docker.RegistryHost
	if registry == hub {
		for _, m := range d.set.Mirrors {
			mirror, err := d.mirror(ctx, m)
			if err != nil {
				return nil, err
			}
			all = append(all, mirror)
		}
	}
	own, err := d.configured(ctx, registry)
	if err != nil {
		return nil, err
	}
	all = append(all, own...)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[registry] = all
	return all, nil
}

// configured reads what CertsDir says of a registry. Without that it is HTTPS, or whatever works where that is allowed.
func (d *directory) configured(ctx context.Context, registry string) ([]docker.RegistryHost, error) {
	dir := hostsconfig.HostDirFromRoot(d.cfg.CertsDir)
	described, err := checkHostsFile(dir, registry)
	if err != nil {
		return nil, err
	}
	o := hostsconfig.HostOptions{HostDir: dir, UpdateClient: d.prepare}
	if !described && d.insecure(ctx, registry) && !docker.IsLocalhost(registry) {
		o.DefaultScheme, o.DefaultTLS = "http", &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the operator says so
	}
	hosts, err := hostsconfig.ConfigureHosts(ctx, o)(registry)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", registry, err)
	}
	for i := range hosts {
		if hosts[i].Host == "" {
			hosts[i].Host = registry
		}
	}
	return hosts, nil
}

// checkHostsFile reports whether there is a hosts.toml; a broken one is an error, rather than to be left out.
func checkHostsFile(dir func(string) (string, error), registry string) (bool, error) {
	at, err := dir(registry)
	if err != nil || at == "" {
		return false, nil // none
	}
	file := filepath.Join(at, "hosts.toml")
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) || len(data) == 0 && err == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var any map[string]any
	if err := toml.Unmarshal(data, &any); err != nil {
		return false, fmt.Errorf("%s: %w", file, err)
	}
	return true, nil
}

// mirror is a host that the setting registry-mirrors names. Its certificates are in CertsDir, too.
func (d *directory) mirror(ctx context.Context, address string) (docker.RegistryHost, error) {
	u, err := url.Parse(address)
	if err != nil {
		return docker.RegistryHost{}, fmt.Errorf("registry mirror %s: %w", address, err)
	}
	hosts, err := d.configured(ctx, u.Host)
	if err != nil {
		return docker.RegistryHost{}, err
	}
	if len(hosts) == 0 {
		return docker.RegistryHost{}, fmt.Errorf("registry mirror %s: its hosts.toml names no host", address)
	}
	m := hosts[len(hosts)-1]
	m.Scheme, m.Host, m.Path = u.Scheme, u.Host, strings.TrimSuffix(u.Path, "/")+"/v2"
	m.Capabilities = docker.HostCapabilityPull | docker.HostCapabilityResolve
	return m, nil
}

// prepare gives a client the daemon's proxies, its bounds and the rule for redirects.
func (d *directory) prepare(c *http.Client) error {
	c.CheckRedirect = d.redirect
	t, ok := c.Transport.(*http.Transport)
	if !ok {
		return nil
	}
	proxy := (&httpproxy.Config{HTTPProxy: d.set.HTTP, HTTPSProxy: d.set.HTTPS, NoProxy: d.set.NoProxy}).ProxyFunc()
	t.Proxy = func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
	t.DisableCompression = true // a blob's bytes are what its digest is of
	t.MaxResponseHeaderBytes = maxHeader
	t.ResponseHeaderTimeout = 2 * d.cfg.Stall // a registry verifies a large blob before it answers
	t.MaxIdleConnsPerHost = 8
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clients = append(d.clients, c)
	return nil
}

func (d *directory) closeIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.clients {
		c.CloseIdleConnections()
	}
}

// insecure reports whether the operator allows a registry to be reached without TLS: those of this machine always.
func (d *directory) insecure(ctx context.Context, registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	if docker.IsLocalhost(registry) {
		return true
	}
	var networks []netip.Prefix
	for _, s := range d.set.Insecure {
		if p, err := netip.ParsePrefix(s); err == nil {
			networks = append(networks, p.Masked())
		} else if strings.EqualFold(s, registry) || strings.EqualFold(s, host) {
			return true
		}
	}
	return len(networks) > 0 && within(ctx, strings.Trim(host, "[]"), networks)
}

func within(ctx context.Context, host string, networks []netip.Prefix) bool {
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else {
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			return false
		}
	}
	for _, a := range addrs {
		for _, n := range networks {
			if n.Contains(a.Unmap()) {
				return true
			}
		}
	}
	return false
}
