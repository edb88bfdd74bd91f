package testkit

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"
)

// Terminal is the docker CLI in a terminal, as a user has it.
type Terminal struct {
	s      *Session
	cmd    *exec.Cmd
	master *os.File
	ended  chan struct{} // closed when the CLI has ended and all output is read

	mu   sync.Mutex // guards text and more
	text strings.Builder
	seen int           // how much of text Expect has consumed
	more chan struct{} // closed at the next output
}

// PTY starts the docker CLI in a terminal of 24 lines and 80 columns.
func (s *Session) PTY(args ...string) *Terminal {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*Timeout)
	cmd := s.Command(ctx, args...)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		cancel()
		s.T.Fatalf("docker %s in a terminal: %v", strings.Join(args, " "), err)
	}
	term := &Terminal{s: s, cmd: cmd, master: master, ended: make(chan struct{}), more: make(chan struct{})}
	go term.read()
	s.T.Cleanup(func() {
		cancel()
		<-term.ended
		_ = master.Close()
	})
	return term
}

// read collects output until the CLI ends: reading a master whose slave is closed is EIO.
func (t *Terminal) read() {
	defer close(t.ended)
	buf := make([]byte, 4096)
	for {
		n, err := t.master.Read(buf)
		t.mu.Lock()
		t.text.Write(buf[:n])
		close(t.more)
		t.more = make(chan struct{})
		t.mu.Unlock()
		if err != nil {
			break
		}
	}
	_ = t.cmd.Wait()
}

// Send types.
func (t *Terminal) Send(text string) {
	t.s.T.Helper()
	if _, err := t.master.WriteString(text); err != nil {
		t.s.T.Fatalf("type %q: %v", text, err)
	}
}

// Resize changes the size of the terminal.
func (t *Terminal) Resize(rows, cols uint16) {
	t.s.T.Helper()
	if err := pty.Setsize(t.master, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		t.s.T.Fatalf("resize the terminal: %v", err)
	}
}

// Expect waits until the text has appeared after what earlier calls have waited for.
func (t *Terminal) Expect(text string) {
	t.s.T.Helper()
	deadline := time.After(Timeout)
	for {
		t.mu.Lock()
		rest := t.text.String()[t.seen:]
		more := t.more
		if i := strings.Index(rest, text); i >= 0 {
			t.seen += i + len(text)
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		select {
		case <-more:
		case <-t.ended:
			t.s.T.Fatalf("the CLI has ended without %q, with %q", text, rest)
		case <-deadline:
			t.s.T.Fatalf("no %q within %v, only %q", text, Timeout, rest)
		}
	}
}

// Text is all output so far.
func (t *Terminal) Text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// Wait returns the exit code of the CLI.
func (t *Terminal) Wait() int {
	t.s.T.Helper()
	select {
	case <-t.ended:
	case <-time.After(Timeout):
		t.s.T.Fatalf("the CLI has not ended within %v, output %q", Timeout, t.Text())
	}
	if t.cmd.ProcessState == nil {
		t.s.T.Fatal(errors.New("the CLI has not been waited for"))
	}
	return t.cmd.ProcessState.ExitCode()
}
