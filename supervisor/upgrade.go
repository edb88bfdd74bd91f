package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"gantry/supervisor/stdio"
	"gantry/task/protocol"

	"golang.org/x/sys/unix"
)

// upgradeWait bounds how long an upgrade waits for requests and exits that are under way.
const upgradeWait = 10 * time.Second

// legacy is what a supervisor leaves to the program that takes its place in the same process: in a memfd, beside the records.
// Numbers are those of descriptors.
type legacy struct {
	Lock     int           `json:"lock"`
	Listener int           `json:"listener"`
	CatchUp  string        `json:"catchUp,omitempty"`
	Held     []legacyFiles `json:"held,omitempty"`
}

type legacyFiles struct {
	protocol.Target
	Files map[string]int          `json:"files"`
	Rests map[string]stdio.Unread `json:"rests,omitempty"` // of lines that have not ended, by stream
}

// Upgrade replaces the running program by the one that is now at its path. It returns only if that is not
// possible, with nothing changed. Pid, children, containers' output and descriptors stay; attached clients see their
// stream end; gantryd connects again.
func (s *Supervisor) Upgrade(ctx context.Context) error {
	if s.cfg.Binary == "" {
		return errors.New("supervisor does not know its program")
	}
	if err := unix.Access(s.cfg.Binary, unix.X_OK); err != nil {
		return fmt.Errorf("upgrade to %s: %w", s.cfg.Binary, err)
	}
	ctx, cancel := context.WithTimeout(ctx, upgradeWait)
	defer cancel()
	if err := s.gate.close(ctx); err != nil {
		return fmt.Errorf("requests are under way: %w", err)
	}
	defer s.gate.open()
	resume, err := s.reaper.Pause(ctx)
	if err != nil {
		return fmt.Errorf("exits are under way: %w", err)
	}
	defer resume()
	if s.server.restorer.waiting() {
		return errors.New("supervisor has not begun yet")
	}
	s.log.Info("upgrading", "program", s.cfg.Binary)
	if err := s.become(ctx); err != nil {
		// Logs are closed by now. gantryd has copies of everything and starts a supervisor that is whole.
		s.log.Error("upgrade failed: leaving the containers to the next supervisor", "error", err)
		os.Exit(1)
	}
	return nil
}

// become writes the legacy and executes the new program.
func (s *Supervisor) become(ctx context.Context) error {
	left, err := s.bequeath(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(left)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("legacy", 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "legacy")
	if _, err := f.Write(data); err != nil {
		return err
	}
	argv := []string{s.cfg.Binary, "--root", s.cfg.Root, "--resume", strconv.Itoa(fd)}
	return syscall.Exec(s.cfg.Binary, argv, os.Environ())
}

// bequeath stops all reading, closes the logs and makes the descriptors survive execve(2).
func (s *Supervisor) bequeath(ctx context.Context) (left legacy, err error) {
	left.CatchUp = s.book.catchUpDir()
	if left.Lock, err = inherit(s.lock); err != nil {
		return left, err
	}
	if left.Listener, err = inherit(s.server.listener); err != nil {
		return left, err
	}
	for _, t := range s.book.allTasks() {
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			continue
		}
		of := []heir{{t.target(), t.wires, t.init.File()}}
		for _, e := range t.execs {
			if !e.ended {
				of = append(of, heir{e.target(t), e.wires, e.process.File()})
			}
		}
		t.mu.Unlock()
		for _, h := range of {
			files, err := h.bequeath(ctx)
			if err != nil {
				return left, err
			}
			left.Held = append(left.Held, files)
		}
	}
	return left, nil
}

// heir is a process whose descriptors live on.
type heir struct {
	target protocol.Target
	wires  *wires
	pidfd  *os.File
}

func (h heir) bequeath(ctx context.Context) (legacyFiles, error) {
	left := legacyFiles{Target: h.target, Files: map[string]int{}}
	var err error
	if left.Rests, err = h.wires.halt(ctx); err != nil {
		return left, err
	}
	names, files := h.wires.files()
	if h.pidfd != nil {
		names, files = append(names, protocol.FileProcess), append(files, h.pidfd)
	}
	for i, f := range files {
		number, err := inherit(f)
		if errors.Is(err, os.ErrClosed) {
			continue // the process has just ended
		}
		if err != nil {
			return left, err
		}
		left.Files[names[i]] = number
	}
	return left, nil
}

// inherit makes a descriptor survive execve(2) and returns its number.
func inherit(f syscall.Conn) (number int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		number = int(fd)
		_, err = unix.FcntlInt(fd, unix.F_SETFD, 0)
	})
	return number, errors.Join(ctlErr, err)
}

// readLegacy takes what the last program left in this process.
func readLegacy(memfd *os.File) (left legacy, err error) {
	if _, err := memfd.Seek(0, io.SeekStart); err != nil {
		return left, err
	}
	data, err := io.ReadAll(memfd)
	if err := errors.Join(err, memfd.Close()); err != nil {
		return left, err
	}
	return left, json.Unmarshal(data, &left)
}

// inherited is a descriptor of the last program.
func inherited(number int, name string) *os.File {
	unix.CloseOnExec(number)
	return os.NewFile(uintptr(number), name)
}

// succeed makes this the successor of the program that left the legacy.
func (s *Supervisor) succeed(left legacy) error {
	s.lock = inherited(left.Lock, "lock")
	f := inherited(left.Listener, "listener")
	l, err := net.FileListener(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		return errors.New("inherited descriptor is no Unix socket")
	}
	listener.SetUnlinkOnClose(false)
	s.server.listener = listener
	if err := s.book.welcome(left.CatchUp); err != nil {
		return err
	}
	for _, h := range left.Held {
		files := map[string]*os.File{}
		for name, number := range h.Files {
			files[name] = inherited(number, name)
		}
		s.server.restorer.inherit(h.Target, files, h.Rests)
	}
	return nil
}
