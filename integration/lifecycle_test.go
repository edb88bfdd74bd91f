package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

func TestLifeOfAContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	id := create(d, &container.Config{Cmd: forever}, nil)
	c := inspect(d, id)
	equal(t, "status", string(c.State.Status), "created")
	equal(t, "pid", c.State.Pid, 0)
	equal(t, "started", c.State.StartedAt, "0001-01-01T00:00:00Z")

	start(d, id)
	c = inspect(d, id)
	equal(t, "status", string(c.State.Status), "running")
	equal(t, "running", c.State.Running, true)
	if c.State.Pid <= 0 {
		t.Errorf("pid %d", c.State.Pid)
	}
	equal(t, "finished", c.State.FinishedAt, "0001-01-01T00:00:00Z")

	d.Docker("pause", id)
	c = inspect(d, id)
	equal(t, "status", string(c.State.Status), "paused")
	equal(t, "running", c.State.Running, true)
	d.Fails(1, []string{"is already paused"}, "pause", id)
	d.Fails(1, []string{"is paused, unpause the container before exec"}, "exec", id, "true")
	d.Docker("unpause", id)
	d.Fails(1, []string{"is not paused"}, "unpause", id)

	d.Docker("restart", "-t", "5", id)
	equal(t, "status", status(d, id), "running")

	d.Docker("stop", id)
	c = inspect(d, id)
	equal(t, "status", string(c.State.Status), "exited")
	equal(t, "exit code", c.State.ExitCode, 0)
	equal(t, "pid", c.State.Pid, 0)
	if finished, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt); err != nil || time.Since(finished) > time.Hour {
		t.Errorf("finished %q: %v", c.State.FinishedAt, err)
	}

	d.Docker("rm", id)
	d.Fails(1, []string{"No such container: " + id}, "rm", id)
}

func TestStartIsIdempotent(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	pid := inspect(d, name).State.Pid
	start(d, name)
	equal(t, "pid", inspect(d, name).State.Pid, pid)
}

func TestStopIsIdempotent(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("stop", name)
	d.Docker("stop", name)
	d.Fails(1, []string{"is not running"}, "kill", name)
	d.Fails(1, []string{"is not running"}, "pause", name)
	d.Fails(1, []string{"is not running"}, "exec", name, "true")
}

func TestKillSendsTheSignal(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("kill")
	d.Docker("run", "-d", "--name", name, "busybox", "sh", "-c",
		"trap 'echo hup' HUP; trap 'echo usr1' USR1; trap 'exit 4' USR2; echo ready; while :; do sleep 0.05; done")
	awaitLog(d, name, "ready")
	d.Docker("kill", "-s", "HUP", name)
	awaitLog(d, name, "hup")
	d.Docker("kill", "-s", "SIGUSR1", name)
	awaitLog(d, name, "usr1")
	d.Fails(1, []string{"nvalid signal: NOSUCH"}, "kill", "-s", "NOSUCH", name)
	d.Docker("kill", "-s", "12", name)
	equal(t, "exit code", wait(d, name), 4)
}

func TestKillOfAPausedContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("pause", name)
	d.Docker("kill", name)
	equal(t, "exit code", wait(d, name), 137)
	equal(t, "paused", inspect(d, name).State.Paused, false)
}

func TestStopOfAPausedContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("pause", name)
	d.Docker("stop", "-t", "2", name)
	equal(t, "status", status(d, name), "exited")
}

func TestWaitConditions(t *testing.T) {
	t.Parallel()
	d := engine(t)
	ctx := d.Context()
	id := create(d, &container.Config{Cmd: []string{"sh", "-c", "exit 5"}}, nil)
	w := d.Client().ContainerWait(ctx, id, client.ContainerWaitOptions{})
	select {
	case r := <-w.Result:
		equal(t, "exit code of one that never ran", r.StatusCode, 0)
	case err := <-w.Error:
		t.Fatal(err)
	}
	next := d.Client().ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	removed := d.Client().ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	start(d, id)
	select {
	case r := <-next.Result:
		equal(t, "exit code", r.StatusCode, 5)
	case err := <-next.Error:
		t.Fatal(err)
	}
	select {
	case <-removed.Result:
		t.Error("removed already")
	default:
	}
	d.Docker("rm", id)
	select {
	case r := <-removed.Result:
		equal(t, "exit code", r.StatusCode, 5)
	case err := <-removed.Error:
		t.Fatal(err)
	}
	bad := d.Client().ContainerWait(ctx, "nosuch", client.ContainerWaitOptions{})
	if err := <-bad.Error; !errdefs.IsNotFound(err) {
		t.Errorf("wait for a missing container: %v", err)
	}
}

func TestAutomaticRemoval(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("auto")
	d.Docker("run", "--rm", "-d", "--name", name, "-v", "/anonymous", "busybox", "sh", "-c", "exit 6")
	w := d.Client().ContainerWait(d.Context(), name, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	select {
	case <-w.Result:
	case err := <-w.Error:
		if !errdefs.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	d.Eventually("the container is gone", func() bool {
		_, err := d.Client().ContainerInspect(d.Context(), name, client.ContainerInspectOptions{})
		return errdefs.IsNotFound(err)
	})
	_, err := d.Client().ContainerCreate(d.Context(), client.ContainerCreateOptions{
		Config:     &container.Config{Image: "busybox"},
		HostConfig: &container.HostConfig{AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}},
	})
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "can't create 'AutoRemove' container with restart policy") {
		t.Errorf("create with both: %v", err)
	}
}

func TestRemoveOfARunningContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Fails(1, []string{"running"}, "rm", name)
	d.Docker("rm", "-f", name)
	d.Docker("rm", "-f", name) // the CLI forgives a missing one when forced
	if r := d.CLI("ps", "-aq", "--filter", "name="+name); strings.TrimSpace(r.Stdout) != "" {
		t.Errorf("still listed: %s", r.Stdout)
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name, other, third := up(d), d.Name("other"), up(d)
	d.Docker("rename", name, other)
	equal(t, "name", inspect(d, other).Name, "/"+other)
	d.Fails(1, []string{"No such container: " + name}, "inspect", "--type", "container", name)
	d.Fails(1, []string{`Conflict. The container name "/` + third + `" is already in use by container`}, "rename", other, third)
	d.Fails(1, []string{"Renaming a container with the same name as its current name"}, "rename", other, other)
	d.Fails(1, []string{"Invalid container name (", "b d), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"}, "rename", other, "b d")
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	id := inspect(d, name).ID
	d.Fails(125, []string{`Conflict. The container name "/` + name + `" is already in use by container "` + id +
		`". You have to remove (or rename) that container to be able to reuse that name.`}, "run", "--name", name, "busybox", "true")
}

func TestContainersAreFoundByPrefix(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	id := inspect(d, name).ID
	for _, ref := range []string{id, id[:12], id[:20], name, "/" + name} {
		equal(t, "ID by "+ref, inspect(d, strings.TrimPrefix(ref, "/")).ID, id)
	}
}

func TestNamesAreMadeUp(t *testing.T) {
	t.Parallel()
	d := engine(t)
	id := d.Docker("create", "busybox")
	d.Remove(id)
	name := strings.TrimPrefix(inspect(d, id).Name, "/")
	if left, right, ok := strings.Cut(name, "_"); !ok || left == "" || right == "" {
		t.Errorf("name %q is not adjective_surname", name)
	}
}

func TestRestartKeepsTheRootFileSystem(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	d.Docker("exec", name, "sh", "-c", "echo kept >/kept")
	d.Docker("restart", "-t", "3", name)
	equal(t, "file", d.Docker("exec", name, "cat", "/kept"), "kept")
}

func TestPruneRemovesOnlyStoppedContainers(t *testing.T) {
	t.Parallel()
	d := engine(t)
	label := "prune=" + d.Name("label")
	running := up(d, "-l", label)
	stopped := d.Name("stopped")
	d.Docker("run", "--name", stopped, "-l", label, "busybox", "true")
	created := d.Name("created")
	d.Docker("create", "--name", created, "-l", label, "busybox", "true")
	other := d.Name("other")
	d.Docker("create", "--name", other, "busybox", "true")
	out := d.Docker("container", "prune", "-f", "--filter", "label="+label)
	contains(t, "output", out, "Deleted Containers:", "Total reclaimed space:")
	equal(t, "names", d.Docker("ps", "-a", "--filter", "label="+label, "--format", "{{.Names}}"), running)
	equal(t, "the other", status(d, other), "created")
}
