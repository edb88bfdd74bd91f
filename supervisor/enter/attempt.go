package enter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"gantry/internal/fdpass"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// attempt is one process on its way into a container.
type attempt struct {
	Request
	door     *Door
	limits   []specs.POSIXRlimit
	gateway  [2]*os.File // the child waits for a byte: reading end, writing end
	verdicts [2]*os.File // the child tells what failed
	root     *os.File    // the container's, O_PATH
	terminal *os.File    // the master
	slave    *os.File
	image    *os.File
	steps    []step
	pid      int
}

// prepare checks that the request can be carried out here, and makes all that the child needs.
func (d *Door) prepare(r Request) (a *attempt, err error) {
	a = &attempt{Request: r, door: d}
	p := r.Process
	switch {
	case len(p.Args) == 0 || p.Args[0] == "" || p.Cwd == "":
		return a, ErrUnsupported // the runtime knows what to say of it
	case p.Capabilities == nil || !known(p.Capabilities):
		return a, ErrUnsupported
	case p.ApparmorProfile != "" || p.SelinuxLabel != "": // the runtime sets labels
		return a, ErrUnsupported
	case p.Scheduler != nil || p.IOPriority != nil || p.ExecCPUAffinity != nil || p.CommandLine != "":
		return a, ErrUnsupported
	case len(d.code) == 0:
		return a, ErrUnsupported
	}
	if a.limits, err = limits(p.Rlimits); err != nil {
		return a, err
	}
	if a.verdicts[0], a.verdicts[1], err = os.Pipe(); err != nil {
		return a, err
	}
	var gateway [2]int
	if err := unix.Pipe2(gateway[:], unix.O_CLOEXEC); err != nil { // the child waits in read(2), so it must block
		return a, err
	}
	a.gateway = [2]*os.File{os.NewFile(uintptr(gateway[0]), "gateway"), os.NewFile(uintptr(gateway[1]), "gateway")}
	if err := a.openRoot(); err != nil {
		return a, err
	}
	if p.Terminal {
		if err := a.openTerminal(); err != nil {
			return a, err
		}
		a.Files = [3]*os.File{a.slave, a.slave, a.slave}
	}
	return a, a.makeImage()
}

// openRoot opens the root directory of the container's first process, which is not the host's: a container
// whose root is only a directory of the host's (chroot) is the runtime's business.
func (a *attempt) openRoot() error {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/root", a.InitPid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: root of the container: %w", ErrUnsupported, err)
	}
	a.root = os.NewFile(uintptr(fd), "root")
	return nil
}

// inside opens a path as the container sees it, without following it out (openat2(2)), and without using what is there.
func (a *attempt) inside(path string) (int, error) {
	root, err := fdpass.Number(a.root)
	if err != nil {
		return -1, err
	}
	defer runtime.KeepAlive(a.root)
	return unix.Openat2(root, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

func (a *attempt) makeImage() error {
	p := &program{}
	p.begin(a.Room)
	if a.Process.Terminal {
		p.add("controlling terminal", unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	p.umask(a.Process)
	p.chdir(a.Process.Cwd)
	p.confine(a.Room, a.Process, a.door.lastCap)
	p.exec(a.Process)
	if p.err != nil {
		return p.err
	}
	file, err := image(p, a.door.code)
	if err != nil {
		return err
	}
	a.steps = p.steps
	a.image, err = sealed(file)
	return err
}

func (a *attempt) close() error {
	files := []*os.File{a.gateway[0], a.gateway[1], a.verdicts[0], a.verdicts[1], a.root, a.terminal, a.slave, a.image}
	var errs []error
	for _, f := range files {
		if f == nil {
			continue
		}
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// fork runs on a thread of its own, whose children are in the container's PID namespace. The child waits at its gateway.
func (a *attempt) fork() error {
	var numbers [7]uintptr
	for i, f := range []*os.File{a.Files[0], a.Files[1], a.Files[2], a.gateway[0], a.verdicts[1], a.Init, a.image} {
		n, err := fdpass.Number(f)
		if err != nil {
			return err
		}
		numbers[i] = uintptr(n)
	}
	if a.Room.pids {
		if err := unix.Setns(int(numbers[5]), unix.CLONE_NEWPID); err != nil {
			return fmt.Errorf("%w: setns: %w", ErrUnsupported, err) // before Linux 5.8, or it has just ended
		}
	}
	path := fmt.Sprintf("/proc/self/fd/%d", numbers[6])
	pid, err := syscall.ForkExec(path, []string{"enter"}, &syscall.ProcAttr{Files: numbers[:6], Env: []string{}, Dir: "/"})
	runtime.KeepAlive(a)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	a.pid = pid
	return nil
}

// admit puts the child where it belongs, lets it go, and waits until it runs its command.
func (a *attempt) admit() error {
	err := errors.Join(a.gateway[0].Close(), a.verdicts[1].Close())
	if err == nil {
		err = a.settle()
	}
	if err != nil {
		// The child sees the end at its gateway, and leaves.
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if _, err := a.gateway[1].Write([]byte{1}); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	var v [verdictSize]byte
	_, err = io.ReadFull(a.verdicts[0], v[:])
	if errors.Is(err, io.EOF) {
		return nil // closed on exec; or the child was killed, which its status will tell
	}
	if err != nil {
		_ = unix.Kill(a.pid, unix.SIGKILL) // it has not ended, or this would be the end of the file: its path leads to something that hangs
		return fmt.Errorf("enter container: %w", err)
	}
	at := (binary.LittleEndian.Uint64(v[:]) - tableAt) / recordSize
	if at >= uint64(len(a.steps)) {
		return errors.New("enter container: the verdict makes no sense")
	}
	return a.failure(a.steps[at], unix.Errno(binary.LittleEndian.Uint64(v[8:])), binary.LittleEndian.Uint64(v[16:]))
}

// settle does what others have to do for the child while it waits.
func (a *attempt) settle() error {
	if err := a.door.cgroups.Join(a.InitPid, a.pid); err != nil {
		return err
	}
	for _, l := range a.limits {
		limit := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		if err := unix.Prlimit(a.pid, resources()[l.Type], &limit, nil); err != nil {
			return fmt.Errorf("limit %s: %w", l.Type, err)
		}
	}
	score := a.Process.OOMScoreAdj
	if score == nil {
		score = a.Room.oomScore
	}
	if score == nil {
		return nil
	}
	return os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", a.pid), fmt.Append(nil, *score), 0)
}
