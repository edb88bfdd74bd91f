// Package files writes the files that tell a container who and where it is: hostname, hosts and resolv.conf.
package files

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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

	// Responder answers the name queries of the container; zero where it asks DNS, or the host's servers, itself.
	Responder netip.Addr

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
	return errors.Join(
		replace(filepath.Join(dir, "hostname"), []byte(c.Hostname+"\n")),
		replace(filepath.Join(dir, "hosts"), hosts),
		writeResolv(dir, c),
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
