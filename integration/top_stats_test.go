package integration

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

func TestTop(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("top")
	d.Docker("run", "-d", "--name", name, "busybox", "sleep", "4321")
	r, err := d.Client().ContainerTop(d.Context(), name, client.ContainerTopOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}; !slices.Equal(r.Titles, want) {
		t.Errorf("titles %v, want %v", r.Titles, want)
	}
	if len(r.Processes) != 1 || len(r.Processes[0]) != 8 || r.Processes[0][7] != "sleep 4321" || r.Processes[0][0] != "root" {
		t.Errorf("processes %v", r.Processes)
	}
	contains(t, "chosen columns", d.Docker("top", name, "-o", "pid,comm"), "COMMAND", "sleep")
	d.Docker("stop", "-t", "0", name)
	d.Fails(1, []string{"is not running"}, "top", name)
	d.Fails(1, []string{"No such container: nosuch"}, "top", "nosuch")
}

func TestStatsOneShot(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "-m", "64m")
	r, err := d.Client().ContainerStats(d.Context(), name, client.ContainerStatsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	equal(t, "name", s.Name, "/"+name)
	equal(t, "memory limit", s.MemoryStats.Limit, 64<<20)
	if s.MemoryStats.Usage == 0 || s.CPUStats.CPUUsage.TotalUsage == 0 || s.CPUStats.SystemUsage == 0 || s.CPUStats.OnlineCPUs == 0 ||
		s.PidsStats.Current < 1 || s.Read.IsZero() || !s.PreRead.IsZero() {
		t.Errorf("stats %+v", s)
	}
	if eth := s.Networks["eth0"]; len(s.Networks) != 1 || eth.TxBytes+eth.RxBytes == 0 {
		t.Errorf("networks %+v", s.Networks)
	}
}

func TestStatsStream(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d)
	r, err := d.Client().ContainerStats(d.Context(), name, client.ContainerStatsOptions{Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	dec := json.NewDecoder(r.Body)
	var first, second container.StatsResponse
	for _, s := range []*container.StatsResponse{&first, &second} {
		if err := dec.Decode(s); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "previous sample", second.PreRead, first.Read)
	equal(t, "previous CPU", second.PreCPUStats.CPUUsage.TotalUsage, first.CPUStats.CPUUsage.TotalUsage)
	d.Docker("rm", "-f", name)
	if _, err := io.Copy(io.Discard, dec.Buffered()); err != nil {
		t.Fatal(err)
	}
}

func TestStatsOfTheCLI(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := up(d, "-m", "64m")
	out := d.Docker("stats", "--no-stream", "--format", "{{.Name}}|{{.MemUsage}}|{{.PIDs}}", name)
	if fields := strings.Split(out, "|"); len(fields) != 3 || fields[0] != name || !strings.HasSuffix(fields[1], "/ 64MiB") || fields[2] == "0" {
		t.Errorf("output %q", out)
	}
}

func TestStatsOfAStoppedContainerAreEmpty(t *testing.T) {
	t.Parallel()
	d := engine(t)
	id := create(d, &container.Config{Cmd: []string{"true"}}, nil)
	r, err := d.Client().ContainerStats(d.Context(), id, client.ContainerStatsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	equal(t, "memory", s.MemoryStats.Usage, 0)
	equal(t, "ID", s.ID, id)
}
