package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gantry/internal/atomicfile"

	"github.com/docker/go-units"
	"github.com/moby/sys/mount"
	"golang.org/x/sys/unix"
)

// mountOptions is opts.json: what is mounted over _data while the volume is in use.
type mountOptions struct {
	MountType   string
	MountOpts   string
	MountDevice string
	Quota       struct{ Size uint64 }
}

const optionsFile = "opts.json"

// needs says which options make no sense without which others.
var needs = map[string][]string{"device": {"type"}, "type": {"device"}, "o": {"device", "type"}}

// parseOptions checks the local driver's options: type, o, device, size. Nil means none.
func parseOptions(o map[string]string) (*mountOptions, error) {
	if len(o) == 0 {
		return nil, nil
	}
	for name := range o {
		switch name {
		case "type", "o", "device", "size":
		default:
			return nil, fmt.Errorf("invalid option: %q", name)
		}
		for _, other := range needs[name] {
			if _, ok := o[other]; !ok {
				return nil, fmt.Errorf("missing required option: %q", other)
			}
		}
	}
	if size, ok := o["size"]; ok {
		n, err := units.RAMInBytes(size)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			return nil, errors.New("quota size requested but no quota support")
		}
	}
	return &mountOptions{MountType: o["type"], MountOpts: o["o"], MountDevice: o["device"]}, nil
}

func (m *mountOptions) save(dir string) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, optionsFile), data, 0o600)
}

// options turns it back into what the user gave, for a volume whose record was lost.
func (m *mountOptions) options() map[string]string {
	out := map[string]string{}
	for name, value := range map[string]string{"type": m.MountType, "o": m.MountOpts, "device": m.MountDevice} {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

// needed reports whether there is anything to mount.
func (m *mountOptions) needed() bool { return m != nil && (m.MountDevice != "" || m.MountType != "") }

// readLocal reads a volume's directory. r is its record; the zero record means that it has none.
func (s *Service) readLocal(name string, r record) (*entry, error) {
	dir := filepath.Join(s.dir, name)
	st, err := os.Stat(filepath.Join(dir, "_data"))
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", s.data(name))
	}
	e := &entry{name: name, driver: localDriver, labels: r.Labels, options: r.Options, created: born(dir)}
	data, err := os.ReadFile(filepath.Join(dir, optionsFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e, nil
	case err != nil:
		return nil, err
	}
	e.mount = &mountOptions{}
	if err := json.Unmarshal(data, e.mount); err != nil {
		return nil, fmt.Errorf("read %s of volume %s: %w", optionsFile, name, err)
	}
	if r.Name == "" {
		e.options = e.mount.options()
	}
	return e, nil
}

// born is when the volume was made, or, where the file system does not know, last changed.
func born(dir string) string {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_BTIME|unix.STATX_CTIME, &st); err != nil {
		return ""
	}
	t := st.Btime
	if st.Mask&unix.STATX_BTIME == 0 {
		t = st.Ctime
	}
	return time.Unix(t.Sec, int64(t.Nsec)).Format(time.RFC3339)
}

// do mounts the device over target.
func (m *mountOptions) do(target string) error {
	if m.MountDevice == "" {
		return errors.New("missing device in volume options")
	}
	device, options, err := m.resolve(net.ResolveIPAddr)
	if err != nil {
		return err
	}
	if err := mount.Mount(device, target, m.MountType, options); err != nil {
		text := err.Error()
		if password := option(m.MountOpts, "password"); password != "" {
			text = strings.ReplaceAll(text, "password="+password, "password=********")
		}
		return fmt.Errorf("failed to mount local volume: %s", text)
	}
	return nil
}

// resolve replaces the server's name by its address: mount(2) for NFS and CIFS takes no names.
func (m *mountOptions) resolve(lookup func(network, host string) (*net.IPAddr, error)) (device, options string, err error) {
	device, options = m.MountDevice, m.MountOpts
	if m.MountType != "nfs" && m.MountType != "cifs" {
		return device, options, nil
	}
	if name := option(options, "addr"); name != "" {
		if net.ParseIP(name) != nil {
			return device, options, nil
		}
		ip, err := lookup("ip", name)
		if err != nil {
			return "", "", fmt.Errorf("error resolving passed in network volume address: %w", err)
		}
		return device, strings.Replace(options, "addr="+name, "addr="+ip.String(), 1), nil
	}
	if m.MountType != "cifs" {
		return device, options, nil
	}
	u, err := url.Parse(device)
	if err != nil {
		return "", "", fmt.Errorf("error parsing mount device url: %w", err)
	}
	if host := u.Hostname(); host != "" {
		ip, err := lookup("ip", host)
		if err != nil {
			return "", "", fmt.Errorf("error resolving passed in network volume address: %w", err)
		}
		device = strings.Replace(device, host, ip.String(), 1)
	}
	return device, options, nil
}

// option returns the value of one of mount(8)'s comma-separated options.
func option(options, name string) string {
	for o := range strings.SplitSeq(options, ",") {
		if value, ok := strings.CutPrefix(o, name+"="); ok {
			return value
		}
	}
	return ""
}
