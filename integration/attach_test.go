package integration

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"testing"

	"gantry/internal/testkit"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// attach connects to a container.
func attach(d *testkit.Session, ref string, o client.ContainerAttachOptions) client.HijackedResponse {
	d.T.Helper()
	r, err := d.Client().ContainerAttach(d.Context(), ref, o)
	if err != nil {
		d.T.Fatalf("attach to %s: %v", ref, err)
	}
	d.T.Cleanup(r.Close)
	return r.HijackedResponse
}

func TestAttachBeforeStartSeesEverything(t *testing.T) {
	t.Parallel()
	d := engine(t)
	id := create(d, &container.Config{Cmd: []string{"sh", "-c", "echo out; echo err >&2"}}, nil)
	conn := attach(d, id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	start(d, id)
	stdout, stderr := demultiplex(t, conn.Reader)
	equal(t, "stdout", stdout, "out\n")
	equal(t, "stderr", stderr, "err\n")
}

func TestAttachOfOneStream(t *testing.T) {
	t.Parallel()
	d := engine(t)
	id := create(d, &container.Config{Cmd: []string{"sh", "-c", "echo out; echo err >&2"}}, nil)
	conn := attach(d, id, client.ContainerAttachOptions{Stream: true, Stderr: true})
	start(d, id)
	stdout, stderr := demultiplex(t, conn.Reader)
	equal(t, "stdout", stdout, "")
	equal(t, "stderr", stderr, "err\n")
}

func TestAttachWithLogsReplaysThem(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("replay")
	d.Docker("run", "-d", "-i", "--name", name, "busybox", "sh", "-c", "echo before; read x; echo after $x")
	awaitLog(d, name, "before")
	conn := attach(d, name, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true, Logs: true})
	if _, err := io.WriteString(conn.Conn, "it\n"); err != nil {
		t.Fatal(err)
	}
	stdout, _ := demultiplex(t, conn.Reader)
	equal(t, "stdout", stdout, "before\nafter it\n")
}

func TestAttachOfLogsAlone(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("logs")
	d.Docker("run", "--name", name, "busybox", "echo", "old")
	conn := attach(d, name, client.ContainerAttachOptions{Stdout: true, Logs: true})
	stdout, _ := demultiplex(t, conn.Reader)
	equal(t, "stdout", stdout, "old\n")
}

func TestStdinOnceIsClosedWithTheFirstClient(t *testing.T) {
	t.Parallel()
	d := engine(t)
	id := create(d, &container.Config{Cmd: []string{"sh", "-c", "cat; echo end of input"}, OpenStdin: true, StdinOnce: true, AttachStdin: true}, nil)
	conn := attach(d, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	start(d, id)
	if _, err := io.WriteString(conn.Conn, "input\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	stdout, _ := demultiplex(t, conn.Reader)
	equal(t, "stdout", stdout, "input\nend of input\n")
	equal(t, "exit code", wait(d, id), 0)
}

func TestStdinStaysOpenForTheNextClient(t *testing.T) {
	t.Parallel()
	d := engine(t)
	id := create(d, &container.Config{Cmd: []string{"sh", "-c", "while read x; do echo got $x; done"}, OpenStdin: true}, nil)
	start(d, id)
	for _, text := range []string{"one", "two"} {
		conn := attach(d, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
		if _, err := io.WriteString(conn.Conn, text+"\n"); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn.Reader).ReadString('\n')
		if err != nil || !strings.HasSuffix(line, "got "+text+"\n") {
			t.Errorf("line %q, %v", line, err)
		}
		conn.Close()
	}
	equal(t, "status", status(d, id), "running")
}

func TestManyClientsSeeTheSameOutput(t *testing.T) {
	t.Parallel()
	d := engine(t)
	id := create(d, &container.Config{Cmd: []string{"seq", "1", "20000"}}, nil)
	results := make(chan string)
	const clients = 5
	for range clients {
		conn := attach(d, id, client.ContainerAttachOptions{Stream: true, Stdout: true})
		go func() {
			stdout, _ := demultiplex(t, conn.Reader)
			results <- stdout
		}()
	}
	start(d, id)
	want := seq(20000)
	for range clients {
		equal(t, "output", <-results, want)
	}
}

// seq is what seq(1) prints for 1 to n.
func seq(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		b.WriteString(strconv.Itoa(i))
		b.WriteByte('\n')
	}
	return b.String()
}

func TestAttachOfTheCLICarriesStreamsAndExitCode(t *testing.T) {
	t.Parallel()
	d := engine(t)
	r := d.CLIInput(strings.NewReader("from stdin\n"), "run", "-i", "--rm", "busybox", "sh", "-c", "cat; echo err >&2; exit 5")
	equal(t, "stdout", r.Stdout, "from stdin\n")
	equal(t, "stderr", r.Stderr, "err\n")
	equal(t, "exit code", r.Code, 5)
}

func TestAttachErrors(t *testing.T) {
	t.Parallel()
	d := engine(t)
	d.Fails(1, []string{"No such container: nosuch"}, "attach", "nosuch")
	name := d.Name("stopped")
	d.Docker("create", "--name", name, "busybox", "true")
	d.Fails(1, []string{"cannot attach to a stopped container, start it first"}, "attach", name)
}

func TestLargeOutputArrivesWhole(t *testing.T) {
	t.Parallel()
	d := engine(t)
	out := d.Docker("run", "--rm", "busybox", "sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x")
	if n := strings.Count(out, "x"); n != 20000000 {
		t.Errorf("%d bytes, want 20000000", n)
	}
}
