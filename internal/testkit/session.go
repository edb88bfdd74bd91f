package testkit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Timeout is how long a test waits for anything that must happen.
const Timeout = 30 * time.Second

// Session is an engine in the hands of one test. What the session names is removed when the test ends.
type Session struct {
	*Engine
	T testing.TB
}

// Session binds the engine to a test.
func (e *Engine) Session(t testing.TB) *Session { return &Session{Engine: e, T: t} }

// With binds the session's engine to a subtest.
func (s *Session) With(t testing.TB) *Session { return s.Engine.Session(t) }

// Context ends when the test has been cleaned up, or when it has taken too long.
func (s *Session) Context() context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.T.Context()), 4*Timeout)
	s.T.Cleanup(cancel)
	return ctx
}

// Name makes a unique name and removes the container of that name, with its anonymous volumes, when the test ends.
func (s *Session) Name(prefix string) string {
	name := prefix + "-" + randomHex(4)
	s.Remove(name)
	return name
}

// Remove removes a container when the test ends.
func (s *Session) Remove(ref string) {
	s.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Timeout)
		defer cancel()
		_, err := s.client.ContainerRemove(ctx, ref, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || errdefs.IsNotFound(err) || !s.running() {
			return
		}
		if errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress") {
			s.awaitRemoved(ctx, ref)
			return
		}
		s.T.Errorf("remove container %s: %v", ref, err)
	})
}

// awaitRemoved waits for a removal that somebody else has begun.
func (s *Session) awaitRemoved(ctx context.Context, ref string) {
	wait := s.client.ContainerWait(ctx, ref, client.ContainerWaitOptions{Condition: "removed"})
	select {
	case <-wait.Result:
	case err := <-wait.Error:
		if !errdefs.IsNotFound(err) {
			s.T.Errorf("wait for the removal of %s: %v", ref, err)
		}
	}
}

// Image makes a unique repository name and removes the image of that name, tag latest, when the test ends.
func (s *Session) Image(prefix string) string {
	name := prefix + "-" + randomHex(4)
	s.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Timeout)
		defer cancel()
		_, err := s.client.ImageRemove(ctx, name, client.ImageRemoveOptions{Force: true})
		if err != nil && !errdefs.IsNotFound(err) && s.running() {
			s.T.Errorf("remove image %s: %v", name, err)
		}
	})
	return name
}

// Result is how a command of the docker CLI ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Command is a command of the docker CLI, ready to start. It talks to the session's engine and to nothing else.
func (e *Engine) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host(), "DOCKER_CONFIG="+e.Path("cli"), "DOCKER_CLI_HINTS=false",
		"DOCKER_API_VERSION=", "DOCKER_CONTEXT=")
	cmd.WaitDelay = Timeout
	return cmd
}

// CLI runs the docker CLI and returns how it ended, whatever that is.
func (s *Session) CLI(args ...string) Result { return s.CLIInput(nil, args...) }

// CLIInput is CLI with standard input.
func (s *Session) CLIInput(stdin io.Reader, args ...string) Result {
	s.T.Helper()
	var stdout, stderr bytes.Buffer
	cmd := s.Command(s.Context(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.T.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Docker runs the docker CLI, which must succeed, and returns its standard output without the last newline.
func (s *Session) Docker(args ...string) string {
	s.T.Helper()
	r := s.CLI(args...)
	if r.Code != 0 {
		s.T.Fatalf("docker %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return strings.TrimSuffix(r.Stdout, "\n")
}

// Fails runs the docker CLI, which must end with that exit code and say every one of the texts on stderr.
func (s *Session) Fails(code int, texts []string, args ...string) Result {
	s.T.Helper()
	r := s.CLI(args...)
	if r.Code != code {
		s.T.Errorf("docker %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.Stderr, text) {
			s.T.Errorf("docker %s: stderr is %q, without %q", strings.Join(args, " "), r.Stderr, text)
		}
	}
	return r
}

// Eventually waits until ok holds. For states that have no event to wait for.
func (s *Session) Eventually(what string, ok func() bool) {
	s.T.Helper()
	if !eventually(Timeout, ok) {
		s.T.Fatalf("not within %v: %s", Timeout, what)
	}
}

func eventually(limit time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
}

// contextWithTimeout is for what belongs to no test.
func contextWithTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*Timeout)
}
