package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gantry/container/record"
	"gantry/internal/inroot"

	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"
)

// source is a directory or file of the host, and where the container has it.
type source struct {
	dest      string
	tree      *os.File // a detached copy of the mount
	directory bool
}

// sources opens what is to be mounted, parents before children. What it returns must be closed, in case of an error too.
func (s *Service) sources(ctx context.Context, c *record.Container, v *view) (out []source, err error) {
	add := func(host, dest string, readonly, recursive bool) error {
		tree, err := openTree(host, recursive)
		if err != nil {
			return err
		}
		st, err := tree.Stat()
		if err != nil {
			return errors.Join(err, tree.Close())
		}
		out = append(out, source{dest: dest, tree: tree, directory: st.IsDir()})
		if readonly {
			return makeReadonly(tree, recursive)
		}
		return nil
	}
	for _, m := range c.Mounts {
		host, err := s.host(ctx, c, m, v)
		if err != nil {
			return out, err
		}
		if host == "" {
			continue
		}
		o := m.Spec.BindOptions
		err = add(host, m.Destination, !m.RW, o == nil || !o.NonRecursive)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a bind whose source somebody removed
			return out, err
		}
	}
	for dest, host := range s.networkFiles(c) {
		if c.Mounts[dest] != nil {
			continue
		}
		if err := add(host, dest, c.HostConfig.ReadonlyRootfs, false); err != nil && !errors.Is(err, os.ErrNotExist) {
			return out, err
		}
	}
	slices.SortFunc(out, func(a, b source) int {
		if d := strings.Count(a.dest, "/") - strings.Count(b.dest, "/"); d != 0 {
			return d
		}
		return strings.Compare(a.dest, b.dest)
	})
	return out, nil
}

// host returns where a mount's data is on the host; "" for what cp does not show: tmpfs and images.
func (s *Service) host(ctx context.Context, c *record.Container, m *record.MountPoint, v *view) (string, error) {
	switch m.Type {
	case mount.TypeBind:
		return m.Source, nil
	case mount.TypeVolume:
	default:
		return "", nil
	}
	dir, err := s.cfg.Volumes.Mount(ctx, m.Name, c.ID)
	if err != nil {
		return "", err
	}
	v.release = append(v.release, func(ctx context.Context) error { return s.cfg.Volumes.Unmount(ctx, m.Name, c.ID) })
	if o := m.Spec.VolumeOptions; o != nil && o.Subpath != "" {
		return insideVolume(dir, o.Subpath, v)
	}
	return dir, nil
}

// insideVolume returns a path to a volume's subdirectory that a link in the volume cannot lead astray.
func insideVolume(dir, sub string, v *view) (string, error) {
	data, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	inside, err := inroot.Open(data, sub, unix.O_PATH, 0)
	if err := errors.Join(err, data.Close()); err != nil {
		return "", err
	}
	v.release = append(v.release, func(context.Context) error { return inside.Close() })
	return inroot.Path(inside), nil
}

// networkFiles returns the files that the daemon writes for a container, by their place in it.
func (s *Service) networkFiles(c *record.Container) map[string]string {
	id := c.ID
	if c.HostConfig.NetworkMode.IsContainer() {
		peer, err := s.cfg.Containers.Record(c.HostConfig.NetworkMode.ConnectedContainer())
		if err != nil {
			return nil // it is gone, and so are its files
		}
		id = peer.ID
	}
	dir := filepath.Join(s.cfg.Dir, id)
	return map[string]string{
		"/etc/hosts": filepath.Join(dir, "hosts"), "/etc/hostname": filepath.Join(dir, "hostname"), "/etc/resolv.conf": filepath.Join(dir, "resolv.conf"),
	}
}
