package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"gantry/container/record"
	"gantry/container/spec"
	"gantry/internal/inroot"
	"gantry/internal/undo"

	"github.com/containerd/continuity/fs"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// prepared is what the stages of a start have acquired so far.
type prepared struct {
	container *Container
	settings  *Settings
	sources   []mountSource
	netns     string // path; "" for the host's
	filesFrom string // directory with hosts, hostname and resolv.conf
	root      *os.File
	user      specs.User
	home      string
	shm       string // on the host; "" for a tmpfs
	spec      *specs.Spec
}

// mountSource is a mount point with what is mounted there.
type mountSource struct {
	point *record.MountPoint
	path  string
}

// close lets go of the root; the task has its own reference by then.
func (p *prepared) close() error {
	if p.root == nil {
		return nil
	}
	err := p.root.Close()
	p.root = nil
	return err
}

// openRoot opens the root file system and settles what depends on what is in it: the
// user's IDs, the working directory, the first contents of volumes.
func (s *starter) openRoot(ctx context.Context, p *prepared, _ *undo.Stack) (err error) {
	r := p.container.Record()
	if p.root, err = s.cfg.Storage.Root(ctx, r.ID); err != nil {
		return err
	}
	if p.user, p.home, err = spec.ResolveUser(p.root, r.Config.User, r.HostConfig.GroupAdd); err != nil {
		return err
	}
	d := p.settings.Spec
	if dir := r.Config.WorkingDir; dir != "" && !underMount(dir, p.sources) {
		made, _, err := inroot.MkdirAll(p.root, dir, 0o755, d.RootUID, d.RootGID)
		if err != nil {
			return fmt.Errorf("cannot make the working directory %s: %w", dir, err)
		}
		if err := made.Close(); err != nil {
			return err
		}
	}
	for i := range p.sources {
		if err := fillVolume(p.root, &p.sources[i], r.StartedBefore); err != nil {
			return err
		}
	}
	return nil
}

// underMount reports whether a path lies in something that is mounted over the root.
func underMount(dir string, sources []mountSource) bool {
	return slices.ContainsFunc(sources, func(m mountSource) bool {
		rel, err := filepath.Rel(m.point.Destination, dir)
		return err == nil && filepath.IsLocal(rel)
	})
}

// fillVolume copies what the image has at a volume's place into a volume that is
// empty, before the container's first start.
func fillVolume(root *os.File, m *mountSource, startedBefore bool) error {
	if m.point.Type != mount.TypeVolume {
		return nil
	}
	if subpathOf(m.point) != "" || !m.point.CopyUp || startedBefore {
		return nil
	}
	entries, err := os.ReadDir(m.path)
	if err != nil || len(entries) > 0 {
		return err
	}
	from, err := inroot.Open(root, m.point.Destination, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	// Through the descriptor: the image cannot make the path mean anything else.
	err = fs.CopyDir(m.path, "/proc/self/fd/"+strconv.Itoa(int(from.Fd())))
	return errors.Join(err, from.Close())
}

// shmDir is where a /dev/shm that containers share is mounted, in the container's directory, as dockerd has it.
const shmDir = "mounts/shm"

// mountShm mounts a /dev/shm that others can join, or finds that of the container joined.
func (s *starter) mountShm(ctx context.Context, p *prepared, u *undo.Stack) error {
	r := p.container.Record()
	switch mode := r.HostConfig.IpcMode; {
	case mode.IsHost():
		p.shm = "/dev/shm"
	case mode.IsContainer():
		peer, err := s.runningPeer(mode.Container(), "IPC")
		if err != nil {
			return err
		}
		pm := peer.Record().HostConfig.IpcMode
		if !pm.IsShareable() {
			return invalid(fmt.Sprintf("can't join IPC of container %s: non-shareable IPC (hint: use IpcMode:shareable for the donor container)", peer.id))
		}
		p.shm = filepath.Join(peer.dir, shmDir)
	case mode.IsShareable():
		p.shm = filepath.Join(p.container.dir, shmDir)
		if err := os.MkdirAll(p.shm, 0o700); err != nil {
			return err
		}
		options := fmt.Sprintf("mode=1777,size=%d", r.HostConfig.ShmSize)
		if err := unix.Mount("shm", p.shm, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			return fmt.Errorf("mount %s: %w", p.shm, err)
		}
		u.Push("unmount shm", func(context.Context) error { return unmountShm(p.container) })
	}
	return nil
}

// unmountShm is safe where nothing is mounted.
func unmountShm(c *Container) error {
	err := unix.Unmount(filepath.Join(c.dir, shmDir), unix.MNT_DETACH)
	if err == unix.EINVAL || err == unix.ENOENT {
		return nil
	}
	return err
}

func (s *starter) buildSpec(ctx context.Context, p *prepared, _ *undo.Stack) error {
	in, err := s.specInput(p)
	if err != nil {
		return err
	}
	built, warnings, err := spec.Build(in)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		s.cfg.Log.Warn("container setting reduced", "container", p.container.id, "reason", w)
	}
	p.spec = built
	return nil
}

// specInput gathers all that the specification is made of.
func (s *starter) specInput(p *prepared) (spec.Input, error) {
	r := p.container.Record()
	in := spec.Input{
		Record: r, Daemon: p.settings.Spec, User: p.user, Home: p.home,
		Netns: p.netns, LinkEnv: s.linkEnv(r), Shm: p.shm,
	}
	in.Daemon.Seccomp, in.Daemon.Program = s.seccomp(r), s.cfg.Security.Program
	for _, m := range p.sources {
		in.Mounts = append(in.Mounts, spec.Mount{MountPoint: *m.point, Source: m.path})
	}
	if mode := r.HostConfig.IpcMode; mode.IsContainer() {
		peer, err := s.runningPeer(mode.Container(), "IPC")
		if err != nil {
			return in, err
		}
		in.IPC = fmt.Sprintf("/proc/%d/ns/ipc", peer.Record().Pid)
	}
	if mode := r.HostConfig.PidMode; mode.IsContainer() {
		peer, err := s.runningPeer(mode.Container(), "PID namespace")
		if err != nil {
			return in, err
		}
		in.PID = fmt.Sprintf("/proc/%d/ns/pid", peer.Record().Pid)
	}
	if p.filesFrom != "" {
		in.Hosts, in.Hostname, in.ResolvConf = p.filesFrom+"/hosts", p.filesFrom+"/hostname", p.filesFrom+"/resolv.conf"
	}
	return in, nil
}
