package integration

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry/internal/testkit"

	"github.com/moby/moby/client"
)

// counter prints numbers without end, as fast as the log takes them.
const counter = "i=1; while :; do echo $i; i=$((i+1)); done"

// unbroken fails the test unless the text counts from its first number on without a gap, or with as many as are
// allowed: a supervisor that is killed takes the chunk along that it has read and not yet written.
func unbroken(t testing.TB, text string, allowed int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	first, err := strconv.Atoi(lines[0])
	if err != nil {
		t.Fatalf("first line: %v", err)
	}
	want := first
	for i, line := range lines {
		n, err := strconv.Atoi(line)
		if n > want && allowed > 0 {
			allowed, want = allowed-1, n
		}
		if err != nil || n != want {
			t.Fatalf("line %d is %q, want %d", i, line, want)
		}
		want++
	}
}

// survivors are containers that must not notice what happens to the engine.
type survivors struct {
	lost               int // chunks of output that may be missing: one for each supervisor that was killed
	d                  *testkit.Session
	echo, counts, web  string
	pids               map[string]int
	address, webAnswer string
}

func newSurvivors(d *testkit.Session) *survivors {
	d.T.Helper()
	s := &survivors{d: d, pids: map[string]int{}}
	s.echo, s.counts = d.Name("echo"), d.Name("counts")
	d.Docker("run", "-d", "-i", "--name", s.echo, "busybox", "sh", "-c", "while read x; do echo got $x; done; exit 5")
	d.Docker("run", "-d", "--name", s.counts, "--log-opt", "max-size=1g", "busybox", "sh", "-c", counter)
	s.web = serve(d, "-p", "127.0.0.1::80")
	s.address = published(d, s.web, "80")
	s.webAnswer = httpGet(d, s.address)
	for _, name := range []string{s.echo, s.counts, s.web} {
		s.pids[name] = inspect(d, name).State.Pid
	}
	return s
}

// check proves that all of them run on, and that everything one can do with them works again.
func (s *survivors) check() {
	d, t := s.d, s.d.T
	t.Helper()
	for name, pid := range s.pids {
		c := inspect(d, name)
		equal(t, name+" has status", string(c.State.Status), "running")
		equal(t, name+" has pid", c.State.Pid, pid)
	}
	if t.Failed() {
		t.FailNow() // what follows would wait for containers that are gone
	}
	// attach, both ways
	conn := attach(d, s.echo, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	if _, err := io.WriteString(conn.Conn, "attached\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn.Reader).ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "got attached\n") {
		t.Errorf("attached: %q, %v", line, err)
	}
	conn.Close()
	// exec, logs, published port, stats
	equal(t, "exec", d.Docker("exec", s.web, "echo", "hello"), "hello")
	contains(t, "page", httpGet(d, s.address), "I am "+s.web)
	r, err := d.Client().ContainerLogs(d.Context(), s.counts, client.ContainerLogsOptions{ShowStdout: true, Follow: true, Tail: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, r, 100); err != nil {
		t.Errorf("following the log: %v", err)
	}
	_ = r.Close()
	equal(t, "stats", d.CLI("stats", "--no-stream", s.web).Code, 0)
	equal(t, "a new container", d.Docker("run", "--rm", "busybox", "echo", "new"), "new")
}

// end stops them in three ways, and proves that exit codes and logs are whole.
func (s *survivors) end() {
	d, t := s.d, s.d.T
	t.Helper()
	w := d.Client().ContainerWait(d.Context(), s.counts, client.ContainerWaitOptions{})
	d.Docker("kill", s.counts)
	select {
	case r := <-w.Result:
		equal(t, "exit code", r.StatusCode, 137)
	case err := <-w.Error:
		t.Fatal(err)
	case <-time.After(testkit.Timeout):
		t.Fatal("wait does not return")
	}
	stdout, _ := logs(d, s.counts, client.ContainerLogsOptions{})
	unbroken(t, stdout, s.lost)
	d.Docker("stop", "-t", "1", s.web)
	d.Docker("rm", s.web, s.counts)
	d.Docker("start", s.echo) // it runs: nothing happens
	d.Docker("rm", "-f", s.echo)
}

func TestLiveRestoreKeepsContainersRunning(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Args: []string{"--live-restore"}})
	s := newSurvivors(d)
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if d.Reference() {
		if err := d.Launch(); err != nil {
			t.Fatal(err)
		}
		equal(t, "status", status(d, s.web), "running")
		equal(t, "pid", inspect(d, s.web).State.Pid, s.pids[s.web])
		d.Docker("rm", "-f", s.web, s.counts, s.echo)
		return // what follows is more than dockerd promises
	}
	if page := httpGet(d, s.address); page == "" {
		t.Error("the published port is dead without the daemon")
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	s.check()
	s.end()
}

func TestContainersSurviveTheDeathOfTheDaemon(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	gantryOnly(t, d, "promise that a crash without live-restore ends no container")
	s := newSurvivors(d)
	for range 2 {
		if err := d.Kill9(); err != nil {
			t.Fatal(err)
		}
		if err := d.Launch(); err != nil {
			t.Fatal(err)
		}
		s.check()
	}
	s.end()
}

func TestContainersSurviveTheDeathOfTheSupervisor(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	gantryOnly(t, d, "supervisor")
	s := newSurvivors(d)
	before := d.Supervisor()
	s.lost++
	if err := d.KillSupervisor(); err != nil {
		t.Fatal(err)
	}
	d.Eventually("another supervisor", func() bool { now := d.Supervisor(); return now != 0 && now != before })
	s.check()
	s.end()
}

func TestContainersSurviveTheDeathOfBothPlanesInTurn(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	gantryOnly(t, d, "supervisor")
	s := newSurvivors(d)
	before := d.Supervisor()
	s.lost++
	if err := d.KillSupervisor(); err != nil {
		t.Fatal(err)
	}
	d.Eventually("another supervisor", func() bool { now := d.Supervisor(); return now != 0 && now != before })
	// The descriptors exist twice again once the new supervisor serves its tasks; before that, the death
	// of gantryd too closes what the containers read from.
	equal(t, "exec", d.Docker("exec", s.web, "echo", "hello"), "hello")
	if err := d.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	s.check()
	s.end()
}

func TestOneSupervisorForAllContainers(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{})
	gantryOnly(t, d, "supervisor")
	for range 3 {
		up(d)
	}
	n := 0
	for _, p := range d.Processes() {
		if p.Ours && p.Pid != d.Pid() {
			n++
		}
	}
	equal(t, "engine processes beside the daemon", n, 1)
}

func TestExitsThatHappenWithoutTheDaemonAreKnown(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Args: []string{"--live-restore"}})
	volume := volumeName(d)
	name, again, gone := d.Name("ends"), d.Name("again"), d.Name("gone")
	script := func(code int) string {
		return fmt.Sprintf("echo ready; while ! test -e /end/f; do sleep 0.05; done; echo done; exit %d", code)
	}
	d.Docker("run", "-d", "--name", name, "-v", volume+":/end", "busybox", "sh", "-c", script(6))
	d.Docker("run", "-d", "--name", again, "-v", volume+":/end", "--restart", "on-failure:1", "busybox", "sh", "-c", script(7))
	d.Docker("run", "-d", "--rm", "--name", gone, "-v", volume+":/end", "busybox", "sh", "-c", script(0))
	for _, n := range []string{name, again, gone} {
		awaitLog(d, n, "ready")
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Namespaces().Run("touch", d.DataRoot()+"/volumes/"+volume+"/_data/f"); err != nil {
		t.Fatal(err)
	}
	d.Eventually("the containers have ended", func() bool {
		for _, p := range d.Processes() {
			if p.Name == "sh" && !p.Ours {
				return false
			}
		}
		return true
	})
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	d.Eventually("the exit code", func() bool { c := inspect(d, name); return c.State.Status == "exited" && c.State.ExitCode == 6 })
	if !d.Reference() { // which loses what is written meanwhile
		equal(t, "log", d.Docker("logs", name), "ready\ndone")
	}
	d.Eventually("the restart policy is applied", func() bool { c := inspect(d, again); return c.State.Status == "exited" && c.RestartCount == 1 })
	d.Eventually("the automatic removal", func() bool { return d.CLI("inspect", gone).Code != 0 })
}
