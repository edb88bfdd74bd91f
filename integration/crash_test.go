package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gantry/internal/testkit"
	"gantry/internal/testkit/imagetar"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// startStages are the points that container/start.go names by a variable.
var startStages = []string{"volumes", "network", "root", "shm", "spec"}

// faultPoints finds the named crash points in the source tree.
func faultPoints(t *testing.T) []string {
	t.Helper()
	call := regexp.MustCompile(`fault\.Point\("([a-z.]+)"( \+)?`)
	var names []string
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range call.FindAllSubmatch(source, -1) {
			name := string(m[1])
			if len(m[2]) == 0 {
				names = append(names, name)
				continue
			}
			if name == "adopt.archive." {
				continue // the tour adopts nothing: tests of storage/adopt do
			}
			if name != "container.start." {
				t.Errorf("%s: points %q are named by a variable that this test does not know", path, name)
			}
			for _, stage := range startStages {
				names = append(names, name+stage)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// inSupervisor says that a point lies in the data plane. Its log files are written there too.
func inSupervisor(point string) bool {
	return strings.HasPrefix(point, "supervisor.") || strings.HasPrefix(point, "logfile.")
}

// TestCrashAtEveryPersistedTransition kills the engine at each named point of a tour through the life of images,
// volumes and containers, starts it again, and proves that nothing is half: a steady container has not noticed,
// what is listed can be inspected and removed, and the whole tour works afterwards.
func TestCrashAtEveryPersistedTransition(t *testing.T) {
	if !*long {
		t.Skip("kills a daemon of its own at every fault point, which takes minutes: make test-long")
	}
	t.Parallel()
	gantryOnly(t, engine(t), "crash points")
	for _, point := range faultPoints(t) {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			crashAt(t, point)
		})
	}
}

func crashAt(t *testing.T, point string) {
	o := testkit.Options{}
	if inSupervisor(point) {
		o.Env = []string{"GANTRY_FAULT=" + point}
	}
	d := testkit.Start(t, o).Session(t)
	d.LoadBusybox()
	armed := []string{"GANTRY_FAULT=" + point}
	steady, opening := "", false
	if !inSupervisor(point) {
		steady = up(d)
		endDaemon(d)
		opening = d.Launch(armed...) != nil // the point may lie in the opening itself
	}
	tour := newTour(d)
	if !opening && !tour.untilDead() {
		t.Errorf("the tour does not come by")
	}
	d.ClearEnv()
	endDaemon(d)
	if inSupervisor(point) && d.Supervisor() != 0 {
		// The one that gantryd has started again carries the fault too.
		if err := d.KillSupervisor(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Launch(); err != nil {
		t.Fatalf("the daemon does not come back: %v", err)
	}
	tour.checkWhole()
	if steady != "" {
		equal(t, "the steady container is", status(d, steady), "running")
	}
	tour.clean()
	for _, s := range tour.steps {
		if r := s(); r.Code != 0 {
			t.Errorf("after the crash: %s%s", r.Stdout, r.Stderr)
		}
	}
}

// endDaemon kills gantryd, if the fault has not; the supervisor goes on.
func endDaemon(d *testkit.Session) {
	d.T.Helper()
	select {
	case <-d.Exited():
	default:
		if err := d.Kill9(); err != nil {
			d.T.Fatal(err)
		}
	}
}

// tour is a list of commands that comes by every persisted transition.
type tour struct {
	d                        *testkit.Session
	image, tag, name, volume string
	committed, network       string
	archive                  []byte
	steps                    []func() testkit.Result
}

func newTour(d *testkit.Session) *tour {
	d.T.Helper()
	t := &tour{d: d, volume: volumeName(d), image: d.Image("tour"), tag: d.Image("tag"), committed: d.Image("committed"), name: d.Name("tour"), network: d.Name("net")}
	image, err := testkit.Busybox(t.image+":latest", func(c *dockerspec.DockerOCIImageConfig) { c.Cmd = []string{"true"} },
		imagetar.Rootfs{"own": {Data: t.image}})
	if err != nil {
		d.T.Fatal(err)
	}
	if t.archive, err = imagetar.Build(image); err != nil {
		d.T.Fatal(err)
	}
	cli := func(args ...string) func() testkit.Result { return func() testkit.Result { return d.CLI(args...) } }
	t.steps = []func() testkit.Result{
		func() testkit.Result { return d.CLIInput(bytes.NewReader(t.archive), "load") },
		cli("tag", t.image, t.tag),
		cli("volume", "create", t.volume),
		cli("create", "--name", t.name, "-v", t.volume+":/data", "-v", "/anonymous", "-p", "127.0.0.1::80", "--log-opt", "max-size=2k", "--log-opt", "max-file=3",
			"--log-opt", "compress=true", t.image, "sh", "-c", "seq 1 500; trap 'exit 0' TERM; sleep 1000 & wait"),
		cli("start", t.name),
		cli("exec", t.name, "touch", "/data/f", "/g"),
		cli("rename", t.name, t.name+"-b"),
		cli("rename", t.name+"-b", t.name),
		cli("network", "create", t.network),
		cli("network", "connect", t.network, t.name),
		cli("network", "disconnect", t.network, t.name),
		cli("network", "rm", t.network),
		cli("update", "--cpu-shares", "512", t.name),
		cli("pause", t.name),
		cli("unpause", t.name),
		cli("commit", t.name, t.committed),
		cli("restart", "-t", "1", t.name),
		cli("stop", "-t", "1", t.name),
		cli("start", t.name),
		cli("kill", t.name),
		cli("wait", t.name),
		cli("rm", "-v", t.name),
		cli("volume", "rm", t.volume),
		cli("rmi", t.committed, t.tag, t.image),
	}
	return t
}

// untilDead goes until a plane dies, and says whether one did.
func (t *tour) untilDead() bool {
	supervisor := t.d.Supervisor()
	for _, step := range t.steps {
		step()
		select {
		case <-t.d.Exited():
			return true
		default:
		}
		now := t.d.Supervisor()
		if supervisor != 0 && now != supervisor {
			return true
		}
		supervisor = now
	}
	return false
}

// clean removes what the interrupted tour has left; what is not there is fine.
func (t *tour) clean() {
	t.d.T.Helper()
	for _, name := range []string{t.name, t.name + "-b"} {
		if r := t.d.CLI("rm", "-f", "-v", name); r.Code != 0 && !strings.Contains(r.Stderr, "No such container") {
			t.d.T.Errorf("remove what the crash left: %s", r.Stderr)
		}
	}
	if r := t.d.CLI("network", "rm", "-f", t.network); r.Code != 0 {
		t.d.T.Errorf("remove the network that the crash left: %s", r.Stderr)
	}
	if r := t.d.CLI("volume", "rm", "-f", t.volume); r.Code != 0 {
		t.d.T.Errorf("remove the volume that the crash left: %s", r.Stderr)
	}
	for _, image := range []string{t.committed, t.tag, t.image} {
		if r := t.d.CLI("rmi", "-f", image); r.Code != 0 && !strings.Contains(r.Stderr, "No such image") {
			t.d.T.Errorf("remove the image that the crash left: %s", r.Stderr)
		}
	}
}

// checkWhole proves that the engine knows everything that it lists.
func (t *tour) checkWhole() {
	t.d.T.Helper()
	for _, list := range []struct{ kind, args string }{
		{"container", "ps -aq --no-trunc"}, {"image", "images -aq --no-trunc"}, {"volume", "volume ls -q"}, {"network", "network ls -q"},
	} {
		for _, ref := range strings.Fields(t.d.Docker(strings.Fields(list.args)...)) {
			if r := t.d.CLI("inspect", "--type", list.kind, ref); r.Code != 0 {
				t.d.T.Errorf("%s %s is listed, but: %s", list.kind, ref, r.Stderr)
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(t.d.DataRoot(), "containers"))
	if err != nil {
		t.d.T.Fatal(err)
	}
	listed := strings.Fields(t.d.Docker("ps", "-aq", "--no-trunc"))
	for _, entry := range entries {
		if !slices.Contains(listed, entry.Name()) {
			t.d.T.Errorf("directory %s belongs to no container", entry.Name())
		}
	}
}

func TestBrokenRecordsAreQuarantined(t *testing.T) {
	t.Parallel()
	d := own(t, testkit.Options{Unchecked: true})
	gantryOnly(t, d, "quarantine")
	whole := up(d)
	breakage := map[string]func(dir string) error{
		"truncated": func(dir string) error { return os.Truncate(filepath.Join(dir, "config.v2.json"), 100) },
		"empty":     func(dir string) error { return os.Truncate(filepath.Join(dir, "hostconfig.json"), 0) },
		"garbage": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(`{"ID":5,"State":[]}`), 0o600)
		},
		"missing": func(dir string) error { return os.Remove(filepath.Join(dir, "config.v2.json")) },
		"foreign": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "config.v2.json"), fmt.Appendf(nil, `{"ID":%q}`, strings.Repeat("a", 64)), 0o600)
		},
	}
	ids := map[string]string{}
	for name := range breakage {
		ids[name] = d.Docker("create", "busybox")
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, damage := range breakage {
		if err := damage(filepath.Join(d.DataRoot(), "containers", ids[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Launch(); err != nil {
		t.Fatalf("broken records stop the daemon: %v", err)
	}
	equal(t, "the whole one", status(d, whole), "exited")
	listed := d.Docker("ps", "-aq", "--no-trunc")
	for name, id := range ids {
		if strings.Contains(listed, id) {
			t.Errorf("the %s one is listed", name)
		}
		contains(t, "log", d.Log(), id)
	}
	equal(t, "a new container", d.Docker("run", "--rm", "busybox", "echo", "new"), "new")
}
