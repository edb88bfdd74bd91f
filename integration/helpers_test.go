package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry/internal/testkit"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// forever is a command that runs until it is told to end, and ends at once then.
var forever = []string{"sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"}

// up starts a container in the background and returns its name. args are flags of `docker run`; it runs forever.
func up(d *testkit.Session, flags ...string) string {
	d.T.Helper()
	name := d.Name("up")
	args := slices.Concat([]string{"run", "-d", "--name", name}, flags, []string{"busybox"}, forever)
	d.Docker(args...)
	return name
}

// sh runs a script in a new container and returns what it printed.
func sh(d *testkit.Session, flags []string, script string) string {
	d.T.Helper()
	return d.Docker(slices.Concat([]string{"run", "--rm"}, flags, []string{"busybox", "sh", "-c", script})...)
}

// inspect returns what the API says of a container.
func inspect(d *testkit.Session, ref string) container.InspectResponse {
	d.T.Helper()
	r, err := d.Client().ContainerInspect(d.Context(), ref, client.ContainerInspectOptions{})
	if err != nil {
		d.T.Fatalf("inspect %s: %v", ref, err)
	}
	return r.Container
}

// status is the state of a container in one word.
func status(d *testkit.Session, ref string) string {
	d.T.Helper()
	return string(inspect(d, ref).State.Status)
}

// wait returns the exit code of a container when it has ended.
func wait(d *testkit.Session, ref string) int64 {
	d.T.Helper()
	w := d.Client().ContainerWait(d.Context(), ref, client.ContainerWaitOptions{})
	select {
	case r := <-w.Result:
		return r.StatusCode
	case err := <-w.Error:
		d.T.Fatalf("wait for %s: %v", ref, err)
	case <-time.After(testkit.Timeout):
		d.T.Fatalf("%s has not ended within %v", ref, testkit.Timeout)
	}
	return -1
}

// create makes a container by the API and returns its ID.
func create(d *testkit.Session, c *container.Config, h *container.HostConfig) string {
	d.T.Helper()
	if c.Image == "" {
		c.Image = "busybox"
	}
	name := d.Name("api")
	r, err := d.Client().ContainerCreate(d.Context(), client.ContainerCreateOptions{Config: c, HostConfig: h, Name: name})
	if err != nil {
		d.T.Fatalf("create: %v", err)
	}
	return r.ID
}

func start(d *testkit.Session, ref string) {
	d.T.Helper()
	if _, err := d.Client().ContainerStart(d.Context(), ref, client.ContainerStartOptions{}); err != nil {
		d.T.Fatalf("start %s: %v", ref, err)
	}
}

// logs returns stdout and stderr of a container as its log driver has them.
func logs(d *testkit.Session, ref string, o client.ContainerLogsOptions) (string, string) {
	d.T.Helper()
	o.ShowStdout, o.ShowStderr = true, true
	r, err := d.Client().ContainerLogs(d.Context(), ref, o)
	if err != nil {
		d.T.Fatalf("logs of %s: %v", ref, err)
	}
	defer r.Close()
	return demultiplex(d.T, r)
}

// demultiplex reads a raw stream with stdcopy headers to its end.
func demultiplex(t testing.TB, r io.Reader) (string, string) {
	t.Helper()
	var stdout, stderr strings.Builder
	if _, err := stdcopy.StdCopy(&stdout, &stderr, r); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatalf("read the stream: %v", err)
	}
	return stdout.String(), stderr.String()
}

// equal fails the test if the two differ.
func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %s, want %s", what, short(fmt.Sprintf("%#v", got)), short(fmt.Sprintf("%#v", want)))
	}
}

// contains fails the test if text lacks one of the parts.
func contains(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s is %s, without %q", what, short(fmt.Sprintf("%q", text)), part)
		}
	}
}

// short cuts the middle out of a long text.
func short(text string) string {
	const limit = 2000
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%s ...(%d bytes)... %s", text[:limit/2], len(text)-limit, text[len(text)-limit/2:])
}

// cgroupV2 says that the machine's controllers are all on cgroup v2.
func cgroupV2() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// httpGet reads a page from inside the engine's network namespace, retrying until somebody listens.
func httpGet(d *testkit.Session, address string) string {
	d.T.Helper()
	var body string
	d.Eventually("a page at "+address, func() bool {
		conn, err := d.Namespaces().Dial("tcp", address)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(testkit.Timeout))
		if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			return false
		}
		data, err := io.ReadAll(conn)
		body = string(data)
		return err == nil && body != ""
	})
	return body
}

func containsText(text, part string) bool { return strings.Contains(text, part) }

func containsWord(words []string, word string) bool { return slices.Contains(words, word) }

// volumeName makes a unique name and removes the volume when the test ends.
func volumeName(d *testkit.Session) string {
	name := "vol-" + d.Name("v")
	d.T.Cleanup(func() {
		if r := d.CLI("volume", "rm", "-f", name); r.Code != 0 {
			d.T.Errorf("remove volume %s: %s", name, r.Stderr)
		}
	})
	return name
}
