// Package supervisor is the data plane: the parent of every container.
//
// It holds what must not die with gantryd: stdio and logs of containers, and how they
// ended. It does what gantryd says over its socket (package
// task/protocol) and goes on without it. A task is a container that runs; an exec
// is a further process in it; both are followed to their end. Wires are the stdio
// of one process. A session is one connection of gantryd.
//
// Nothing is lost when either plane is killed: gantryd holds copies of all
// descriptors and hands them to the next supervisor, which reads the records (record) that the
// last one left. An exit is on disk before anybody is told.
//
// The package knows no images, no networks, no HTTP, and no container that does not run.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gantry/logdriver"
	"gantry/supervisor/cgroup"
	"gantry/supervisor/launch"
	"gantry/supervisor/process"
	"gantry/supervisor/stdio"
	"gantry/task/protocol"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Config says where things are.
type Config struct {
	Root    string // exec root
	OpenLog func(name string, info logdriver.Info) (logdriver.Writer, error)
	Peer    *os.File // a connection of the gantryd that started this process; nil for none
	Binary  string   // what an upgrade executes; "" forbids it
	Legacy  *os.File // what the program left that was upgraded to this one; nil for none
}

// Supervisor is the data plane of one exec root.
type Supervisor struct {
	cfg      Config
	log      *slog.Logger
	lock     *os.File
	listener *net.UnixListener
	store    *store
	reaper   *process.Reaper
	launcher *launch.Launcher
	cgroups  *cgroup.Host
	buffers  stdio.Buffers
	gate     gate
	spawned  func()        // ends the reaper's care for children of before an upgrade
	ended    chan struct{} // closed when the process may go
	endOnce  sync.Once

	mu       sync.Mutex // guards what follows
	tasks    map[string]*task
	prepared map[string]*wires
	session  *session
	catchUp  string
	fresh    bool // records have not been read yet
	closing  bool // nothing more is begun: gantryd has said Shutdown
	handed   map[protocol.Target]map[string]*os.File
	rests    map[protocol.Target]map[string]stdio.Unread
}

// Open takes the exec root and listens. Errors: unavailable, when another supervisor has it.
func Open(ctx context.Context, cfg Config) (_ *Supervisor, err error) {
	s := &Supervisor{
		cfg: cfg, log: slog.Default(), reaper: process.NewReaper(), ended: make(chan struct{}),
		tasks: map[string]*task{}, prepared: map[string]*wires{}, fresh: true,
		handed: map[protocol.Target]map[string]*os.File{}, rests: map[protocol.Target]map[string]stdio.Unread{},
	}
	s.spawned = s.reaper.Spawning()
	if err := os.MkdirAll(cfg.Root, 0o711); err != nil {
		return nil, err
	}
	if err := s.takeRoot(); err != nil {
		return nil, err
	}
	if s.store, err = openStore(filepath.Join(cfg.Root, "tasks")); err != nil {
		return nil, err
	}
	if err := mountBundles(filepath.Join(cfg.Root, protocol.BundlesName)); err != nil {
		return nil, err
	}
	if s.cgroups, err = cgroup.Find(); err != nil {
		return nil, err
	}
	if s.launcher, err = launch.New(s.reaper); err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become child subreaper: %w", err)
	}
	return s, nil
}

// takeRoot locks the exec root and listens, or goes on with the lock and the socket of the last program.
func (s *Supervisor) takeRoot() (err error) {
	if s.cfg.Legacy != nil {
		left, err := readLegacy(s.cfg.Legacy)
		if err != nil {
			return fmt.Errorf("what the last program left: %w", err)
		}
		return s.succeed(left)
	}
	if s.lock, err = lockRoot(s.cfg.Root); err != nil {
		return err
	}
	s.listener, err = listen(filepath.Join(s.cfg.Root, protocol.SocketName))
	return err
}

// Run serves until a Shutdown, or until ctx ends. Containers are not touched either way.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.reaper.Run(ctx)
	if s.cfg.Legacy != nil {
		s.ready(ctx)
	}
	if s.cfg.Peer != nil {
		conn, err := protocol.FileConn(s.cfg.Peer)
		if err != nil {
			return err
		}
		go s.serve(ctx, conn)
	}
	go s.accept(ctx)
	select {
	case <-ctx.Done():
	case <-s.ended:
	}
	return errors.Join(s.listener.Close(), s.leaveRoot())
}

// leaveRoot removes what Open made there, if there is no task that needs it.
func (s *Supervisor) leaveRoot() error {
	s.mu.Lock()
	n := len(s.tasks)
	s.mu.Unlock()
	if n > 0 {
		return nil
	}
	bundles := filepath.Join(s.cfg.Root, protocol.BundlesName)
	if err := unix.Unmount(bundles, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", bundles, err)
	}
	return os.Remove(filepath.Join(s.cfg.Root, protocol.SocketName))
}

const (
	// lockWait is how long a supervisor that is ending is given to let go of the exec root.
	lockWait  = 2 * time.Second
	lockPause = 5 * time.Millisecond
)

// lockRoot makes sure that one supervisor has the exec root. Errors: unavailable.
func lockRoot(root string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(root, "supervisor.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockPause) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != unix.EWOULDBLOCK || time.Now().After(deadline) {
			held := errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("exec root %s is held by another supervisor", root))
			return nil, errors.Join(held, err, f.Close())
		}
	}
}

func listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// The directory lets others pass, the socket does not: it is made under a name that nobody
	// connects to until its mode is right.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: fresh, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// mountBundles makes the directory of bundles a private mount, so that what is mounted below it in a
// namespace of its own does not come back to the host.
func mountBundles(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, 0, &st); err != nil {
		return err
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s on itself: %w", dir, err)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make %s private: %w", dir, err)
	}
	return nil
}
