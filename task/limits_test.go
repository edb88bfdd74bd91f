package task_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestOOMIsTold(t *testing.T) {
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil {
		t.Skip("machine has no v1 memory cgroup")
	}
	h := newHost(t)
	id := randomID(t)
	spec := h.spec(id, "tail /dev/zero; exit 1")
	limit := int64(16 << 20)
	spec.OCI.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
	spec.OCI.Process.Args = []string{"tail", "/dev/zero"}
	spec.OCI.Mounts = append(spec.OCI.Mounts, specs.Mount{Destination: "/dev/zero", Type: "bind", Source: "/dev/zero", Options: []string{"bind"}})
	h.mustStart(spec)
	if e := h.exit(); !e.OOM || e.Code != 137 {
		t.Errorf("exit %+v", e)
	}
	if got := receive(t, h.ooms, "the OOM notice"); got != id {
		t.Errorf("OOM of %s", got)
	}
}

func TestPauseAndResume(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	spec, path := h.logged(h.spec(id, count))
	h.mustStart(spec)
	h.awaitLog(path, "line 10")
	if err := h.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	states, err := h.Tasks(ctx)
	if err != nil || len(states) != 1 || !states[0].Paused {
		t.Fatalf("%+v %v", states, err)
	}
	data, err := os.ReadFile("/sys/fs/cgroup/freezer" + h.cgroup + "/" + id + "/freezer.state")
	if err == nil && strings.TrimSpace(string(data)) != "FROZEN" {
		t.Errorf("freezer: %s", data)
	}
	if err := h.Resume(ctx, id); err != nil {
		t.Fatal(err)
	}
	before := size(t, path)
	h.until("the log to grow", func() bool { return size(t, path) > before })
	h.stopCounting(id)
	h.exit()
}

func TestKillOfAPausedContainer(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	h.mustStart(h.spec(id, "sleep 1000 & sleep 1000"))
	if err := h.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := h.SignalAll(ctx, id); err != nil {
		t.Fatal(err)
	}
	if e := h.exit(); e.Code != 137 {
		t.Errorf("exit %+v", e)
	}
}

func TestUpdate(t *testing.T) {
	h := newHost(t)
	id, ctx := randomID(t), context.Background()
	h.mustStart(h.spec(id, "sleep 1000"))
	limit := int64(77)
	if err := h.Update(ctx, id, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("/sys/fs/cgroup/pids" + h.cgroup + "/" + id + "/pids.max")
	if err == nil && strings.TrimSpace(string(data)) != "77" {
		t.Errorf("pids.max is %s", data)
	}
	if err := h.Update(ctx, randomID(t), &specs.LinuxResources{}); !errdefs.IsNotFound(err) {
		t.Errorf("update of nothing: %v", err)
	}
}

func TestStartTwice(t *testing.T) {
	h := newHost(t)
	id := randomID(t)
	h.mustStart(h.spec(id, "sleep 1000"))
	if _, err := h.start(h.spec(id, "sleep 1000")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("second start: %v", err)
	}
}

func TestRestartAtOnce(t *testing.T) {
	h := newHost(t)
	id := randomID(t)
	for i := range 5 {
		st := h.mustStart(h.spec(id, "exit "+itoa(i)))
		if e := h.exit(); e.Code != i || e.Run != st.Run {
			t.Errorf("exit %+v of run %x", e, st.Run)
		}
	}
}

func TestUnknownRuntime(t *testing.T) {
	h := newHost(t)
	spec := h.spec(randomID(t), "true")
	spec.Runtime = "nothing"
	if _, err := h.start(spec); !errdefs.IsNotFound(err) {
		t.Errorf("start: %v", err)
	}
	all, byDefault := h.Runtimes()
	if all[byDefault].Version == "" {
		t.Errorf("default runtime %q of %v has no version", byDefault, all)
	}
}
