package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gantry/container/record"
	"gantry/internal/undo"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/volume"
)

// mountPoints collects the mounts of a new container by destination. What comes later wins over
// --volumes-from; two of the user's own for one place are an error, and the image's volumes fill what is free.
func (s *creator) mountPoints(r *record.Container) (map[string]*record.MountPoint, error) {
	all := map[string]*record.MountPoint{}
	for _, from := range r.HostConfig.VolumesFrom {
		if err := s.volumesFrom(from, all); err != nil {
			return nil, err
		}
	}
	own := map[string]bool{}
	add := func(m *record.MountPoint) error {
		if _, tmpfs := r.HostConfig.Tmpfs[m.Destination]; own[m.Destination] || tmpfs {
			return invalid("Duplicate mount point: " + m.Destination)
		}
		own[m.Destination], all[m.Destination] = true, m
		return nil
	}
	for _, bind := range r.HostConfig.Binds {
		m, err := parseBind(bind, r.HostConfig.VolumeDriver)
		if err == nil {
			err = add(m)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, spec := range r.HostConfig.Mounts {
		m, err := fromSpec(spec)
		if err == nil {
			err = add(m)
		}
		if err != nil {
			return nil, err
		}
	}
	for dest := range r.Config.Volumes {
		dest = path.Clean(dest)
		if !path.IsAbs(dest) {
			return nil, invalid("invalid mount path: '" + dest + "' mount path must be absolute")
		}
		if _, tmpfs := r.HostConfig.Tmpfs[dest]; all[dest] == nil && !tmpfs {
			all[dest] = anonymous(dest, r.HostConfig.VolumeDriver)
		}
	}
	return all, nil
}

func anonymous(dest, driver string) *record.MountPoint {
	return &record.MountPoint{Type: mount.TypeVolume, Destination: dest, Driver: driver, RW: true, Anonymous: true, CopyUp: true}
}

// volumesFrom takes over the volumes and binds of another container: NAME[:ro|rw].
func (s *creator) volumesFrom(ref string, all map[string]*record.MountPoint) error {
	name, mode, hasMode := strings.Cut(ref, ":")
	if name == "" || hasMode && !validMode(mode) {
		return invalid("invalid volumes-from specification: '" + ref + "'")
	}
	c, err := s.Get(name)
	if err != nil {
		return err
	}
	for dest, m := range c.Record().Mounts {
		taken := *m
		taken.Anonymous, taken.CopyUp = false, false // it belongs to the other container
		taken.RW = m.RW && !slices.Contains(strings.Split(mode, ","), "ro")
		all[dest] = &taken
	}
	return nil
}

// parseBind reads -v: [SOURCE:]DESTINATION[:OPTIONS].
func parseBind(bind, driver string) (*record.MountPoint, error) {
	malformed := invalid("invalid volume specification: '" + bind + "'")
	parts := strings.Split(bind, ":")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return nil, malformed
	}
	m := &record.MountPoint{RW: true}
	switch len(parts) {
	case 1:
		m.Destination = parts[0]
	case 2:
		// Ambiguous: SOURCE:DESTINATION or DESTINATION:OPTIONS.
		if validMode(parts[1]) {
			m.Destination, m.Mode = parts[0], parts[1]
		} else {
			m.Source, m.Destination = parts[0], parts[1]
		}
	case 3:
		m.Source, m.Destination, m.Mode = parts[0], parts[1], parts[2]
		if !validMode(m.Mode) {
			return nil, invalid("invalid mode: " + m.Mode)
		}
	}
	if err := checkDestination(bind, m.Destination); err != nil {
		return nil, err
	}
	m.Destination = path.Clean(m.Destination)
	applyMode(m)
	switch {
	case m.Source == "":
		if m.Mode != "" {
			return nil, malformed
		}
		return anonymous(m.Destination, driver), nil
	case path.IsAbs(m.Source):
		m.Type, m.Source = mount.TypeBind, path.Clean(m.Source)
		if m.Propagation == "" {
			m.Propagation = mount.PropagationRPrivate
		}
	default:
		m.Type, m.Name, m.Source, m.Driver = mount.TypeVolume, m.Source, "", driver
	}
	m.Spec = mount.Mount{Type: m.Type, Source: cmp.Or(m.Name, m.Source), Target: m.Destination, ReadOnly: !m.RW}
	return m, nil
}

func checkDestination(spec, dest string) error {
	switch {
	case !path.IsAbs(dest):
		return invalid("invalid volume specification: '" + spec + "': invalid mount config for type \"volume\": invalid mount path: '" + dest + "' mount path must be absolute")
	case path.Clean(dest) == "/":
		return invalid("invalid volume specification: '" + spec + "': invalid specification: destination can't be '/'")
	}
	return nil
}

// modes are the options of -v, and what they exclude: options of one kind.
var modes = map[string]string{
	"ro": "rw", "rw": "rw", "z": "label", "Z": "label", "nocopy": "copy",
	"rprivate": "prop", "private": "prop", "rshared": "prop", "shared": "prop", "rslave": "prop", "slave": "prop",
	"consistent": "consistency", "cached": "consistency", "delegated": "consistency",
}

func validMode(mode string) bool {
	seen := map[string]bool{}
	for o := range strings.SplitSeq(mode, ",") {
		kind, known := modes[o]
		if !known || seen[kind] {
			return false
		}
		seen[kind] = true
	}
	return true
}

func applyMode(m *record.MountPoint) {
	m.CopyUp = true
	for o := range strings.SplitSeq(m.Mode, ",") {
		switch {
		case o == "ro":
			m.RW = false
		case o == "nocopy":
			m.CopyUp = false
		case modes[o] == "prop":
			m.Propagation = mount.Propagation(o)
		}
	}
}

// fromSpec checks one --mount.
func fromSpec(spec mount.Mount) (*record.MountPoint, error) {
	fail := func(why string) error {
		return invalid(fmt.Sprintf("invalid mount config for type %q: %s", spec.Type, why))
	}
	if spec.Target == "" {
		return nil, fail("field Target must not be empty")
	}
	if !path.IsAbs(spec.Target) {
		return nil, fail("invalid mount path: '" + spec.Target + "' mount path must be absolute")
	}
	if path.Clean(spec.Target) == "/" {
		return nil, fail("invalid specification: destination can't be '/'")
	}
	m := &record.MountPoint{Type: spec.Type, Destination: path.Clean(spec.Target), RW: !spec.ReadOnly, Spec: spec}
	var why error
	switch spec.Type {
	case mount.TypeBind:
		why = bindSpec(m, spec)
	case mount.TypeVolume:
		why = volumeSpec(m, spec)
	case mount.TypeTmpfs:
		if spec.Source != "" {
			why = errors.New("field Source must not be specified")
		}
	case mount.TypeImage:
		m.Source, m.RW = spec.Source, false
		switch o := spec.ImageOptions; {
		case spec.Source == "":
			why = errors.New("field Source must not be empty")
		case o != nil && o.Subpath != "" && !filepath.IsLocal(o.Subpath):
			why = errors.New("subpath must be a relative path within the image")
		}
	default:
		return nil, invalid(fmt.Sprintf("mount type unknown: %q", spec.Type))
	}
	if why != nil {
		return nil, fail(why.Error())
	}
	return m, nil
}

func bindSpec(m *record.MountPoint, spec mount.Mount) error {
	switch {
	case spec.Source == "":
		return errors.New("field Source must not be empty")
	case spec.VolumeOptions != nil:
		return errors.New("field VolumeOptions must not be specified")
	case !path.IsAbs(spec.Source):
		return errors.New("invalid mount path: '" + spec.Source + "' mount path must be absolute")
	}
	m.Source, m.Propagation, m.MustExist = path.Clean(spec.Source), mount.PropagationRPrivate, true
	if o := spec.BindOptions; o != nil {
		if o.Propagation != "" && !slices.Contains(mount.Propagations, o.Propagation) {
			return fmt.Errorf("invalid propagation mode: %s", o.Propagation)
		}
		if o.Propagation != "" {
			m.Propagation = o.Propagation
		}
		m.MustExist = !o.CreateMountpoint
	}
	if _, err := os.Stat(m.Source); m.MustExist && errors.Is(err, os.ErrNotExist) {
		return errors.New("bind source path does not exist: " + spec.Source)
	}
	return nil
}

func volumeSpec(m *record.MountPoint, spec mount.Mount) error {
	if spec.BindOptions != nil {
		return errors.New("field BindOptions must not be specified")
	}
	m.Name, m.CopyUp, m.Anonymous = spec.Source, true, spec.Source == ""
	if o := spec.VolumeOptions; o != nil {
		m.CopyUp = !o.NoCopy
		if o.DriverConfig != nil {
			m.Driver = o.DriverConfig.Name
		}
		if o.Subpath != "" && !filepath.IsLocal(o.Subpath) {
			return errors.New("subpath must be a relative path within the volume")
		}
	}
	return nil
}

// makeVolumes makes what does not exist yet and keeps all of them from being removed.
// Anonymous volumes made here are removed again when the creation fails.
func (s *creator) makeVolumes(ctx context.Context, c *Container, r *record.Container, u *undo.Stack) error {
	for _, m := range r.Mounts {
		if m.Type != mount.TypeVolume {
			continue
		}
		fresh := m.Name == ""
		v, release, err := s.cfg.Volumes.Create(ctx, volumeRequest(m), holderOf(r))
		if err != nil {
			return err
		}
		c.keep(release)
		m.Name, m.Driver, m.Source = v.Name, v.Driver, v.Mountpoint
		if fresh {
			u.Push("remove volume "+v.Name, func(ctx context.Context) error { return s.cfg.Volumes.Remove(ctx, v.Name, true) })
			// The hold goes before the volume: the undo stack runs in reverse.
			u.Push("release volume "+v.Name, c.releaseHolds)
		}
	}
	return nil
}

func volumeRequest(m *record.MountPoint) volume.CreateRequest {
	req := volume.CreateRequest{Name: m.Name, Driver: m.Driver}
	if o := m.Spec.VolumeOptions; o != nil {
		req.Labels = o.Labels
		if o.DriverConfig != nil {
			req.DriverOpts = o.DriverConfig.Options
		}
	}
	return req
}

func (s *creator) holdVolume(ctx context.Context, c *Container, r *record.Container, m *record.MountPoint) error {
	release, err := s.cfg.Volumes.Hold(ctx, m.Name, holderOf(r))
	if err == nil {
		c.keep(release)
	}
	return err
}
