// Package files writes the files that tell a container who and where it is: hostname, hosts and resolv.conf.
package files

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gantry/internal/atomicfile"

	"github.com/containerd/errdefs"
)

// Content is what the files of a container say.
type Content struct {
	Hostname   string
	Domainname string
	Address    netip.Addr   // the container's own; zero for none
	More       []netip.Addr // its other ones
	Hosts      []string     // NAME:IP, where IP may be host-gateway
	Gateways   []netip.Addr

	DNS     []netip.Addr
	Search  []string
	Options []string

	// FromHost is of a container in the host's network: the files are the host's, with what the container adds.
	FromHost bool
}

// Where the host's own files are. The second resolv.conf is that of systemd-resolved, whose first names only its local
// stub.
const (
	hostHosts      = "/etc/hosts"
	hostResolv     = "/etc/resolv.conf"
	resolvedResolv = "/run/systemd/resolve/resolv.conf"
)

// Write makes the files in dir. Errors: invalid argument (Hosts).
func Write(dir string, c Content) error {
	hosts, err := c.hosts()
	if err != nil {
		return err
	}
	resolv, err := c.resolvConf()
	if err != nil {
		return err
	}
	return errors.Join(
		replace(filepath.Join(dir, "hostname"), []byte(c.Hostname+"\n")),
		replace(filepath.Join(dir, "hosts"), hosts),
		replace(filepath.Join(dir, "resolv.conf"), resolv),
	)
}

// UpdateHosts writes the hosts file of a running container: in place, for it is mounted there. Errors: invalid argument (Hosts).
func UpdateHosts(dir string, c Content) error {
	hosts, err := c.hosts()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "hosts")
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, hosts) {
		return nil
	}
	return os.WriteFile(path, hosts, 0o644)
}

// replace leaves a file alone that says it already: some file systems take a millisecond to put one in the place of
// another, and a container that starts again has most of them.
func replace(path string, data []byte) error {
	// The size first, for the file may be anything: the container writes to it.
	if info, err := os.Lstat(path); err == nil && info.Mode() == 0o644 && info.Size() == int64(len(data)) {
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
			return nil
		}
	}
	return atomicfile.WriteVolatile(path, data, 0o644)
}

func (c Content) hosts() ([]byte, error) {
	var b bytes.Buffer
	if c.FromHost {
		own, err := os.ReadFile(hostHosts)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		b.Write(own)
		if len(own) > 0 && own[len(own)-1] != '\n' {
			b.WriteByte('\n')
		}
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n" +
			"::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n" +
			"ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	}
	for _, extra := range c.Hosts {
		name, addrs, err := c.extra(extra)
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			fmt.Fprintf(&b, "%s\t%s\n", a, name)
		}
	}
	if !c.FromHost && c.Address.IsValid() && c.Hostname != "" {
		names := c.Hostname
		if c.Domainname != "" {
			names = c.Hostname + "." + c.Domainname + " " + c.Hostname
		}
		for _, a := range append([]netip.Addr{c.Address}, c.More...) {
			fmt.Fprintf(&b, "%s\t%s\n", a, names)
		}
	}
	return b.Bytes(), nil
}

// extra resolves one --add-host.
func (c Content) extra(s string) (name string, addrs []netip.Addr, err error) {
	name, to, ok := strings.Cut(s, ":")
	if !ok || name == "" {
		return "", nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("bad format for add-host: %q", s))
	}
	if to == "host-gateway" {
		if len(c.Gateways) == 0 {
			return "", nil, errdefs.ErrInvalidArgument.WithMessage("unable to derive the IP value for host-gateway")
		}
		return name, c.Gateways, nil
	}
	a, err := netip.ParseAddr(strings.Trim(to, "[]"))
	if err != nil {
		return "", nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid IP address in add-host: %q", to))
	}
	return name, []netip.Addr{a}, nil
}

func (c Content) resolvConf() ([]byte, error) {
	own, err := hostResolver()
	if err != nil {
		return nil, err
	}
	if c.FromHost && len(c.DNS)+len(c.Search)+len(c.Options) == 0 {
		return own.raw, nil
	}
	r := resolver{servers: c.DNS, search: c.Search, options: c.Options}
	if len(r.servers) == 0 {
		r.servers = own.servers
		if !c.FromHost {
			// The host's loopback is not the container's.
			r.servers = slices.DeleteFunc(slices.Clone(own.servers), netip.Addr.IsLoopback)
		}
	}
	if len(r.servers) == 0 {
		r.servers = []netip.Addr{netip.AddrFrom4([4]byte{8, 8, 8, 8}), netip.AddrFrom4([4]byte{8, 8, 4, 4})} // as dockerd
	}
	if len(r.search) == 0 {
		r.search = own.search
	}
	if len(r.options) == 0 {
		r.options = own.options
	}
	return r.bytes(), nil
}

// resolver is what a resolv.conf says, resolv.conf(5).
type resolver struct {
	servers         []netip.Addr
	search, options []string
	raw             []byte
}

// hostResolver reads the host's file, or that behind the local stub of systemd-resolved. No file is an empty one.
func hostResolver() (resolver, error) {
	data, err := os.ReadFile(hostResolv)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return resolver{}, err
	}
	r := parseResolver(data)
	if slices.Equal(r.servers, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 53})}) {
		if behind, err := os.ReadFile(resolvedResolv); err == nil {
			r = parseResolver(behind)
			r.raw = data
		}
	}
	return r, nil
}

// parseResolver skips what it does not know.
func parseResolver(data []byte) resolver {
	r := resolver{raw: data}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(fields[1]); err == nil {
				r.servers = append(r.servers, a)
			}
		case "search", "domain":
			r.search = fields[1:] // the last one counts
		case "options":
			r.options = append(r.options, fields[1:]...)
		}
	}
	return r
}

func (r resolver) bytes() []byte {
	var b bytes.Buffer
	for _, s := range r.servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	// "." is how a user says that there is nothing to search.
	if len(r.search) > 0 && !slices.Equal(r.search, []string{"."}) {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.search, " "))
	}
	if len(r.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.options, " "))
	}
	return b.Bytes()
}
