package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// writeHead writes the machine's facts and the head of the table, in Markdown.
func writeHead(w io.Writer, sides []*side) {
	fmt.Fprintf(w, "Measured %s on %s, %d CPUs, %s of memory, Linux %s.\n", time.Now().UTC().Format("2006-01-02"),
		cpuModel(), runtime.NumCPU(), totalMemory(), firstLine("/proc/sys/kernel/osrelease"))
	for _, s := range sides {
		fmt.Fprintf(w, "- %s: %s\n", s.name, describe(s))
	}
	fmt.Fprintf(w, "\n| what | dockerd | gantry | ratio | goal | |\n|---|---:|---:|---:|---:|---|\n")
}

// writeRow writes one line of the table.
func writeRow(w io.Writer, r row, results []result) {
	text := map[string]string{"dockerd": "-", "gantryd": "-"}
	value := map[string]float64{}
	for _, res := range results {
		if res.err != nil && len(res.figures) == 0 {
			text[res.side.name] = "failed"
			continue
		}
		value[res.side.name] = res.median()
		text[res.side.name] = fmt.Sprintf("%s %s", figure(res.median()), r.unit)
	}
	ratio, goal, verdict := "-", "", ""
	d, g := value["dockerd"], value["gantryd"]
	if d > 0 && g > 0 {
		x := d / g
		if r.more {
			x = g / d
		}
		ratio = fmt.Sprintf("%.1fx", x)
		if r.goal > 0 {
			verdict = reached(x >= r.goal)
		}
	}
	if r.goal > 0 {
		goal = fmt.Sprintf("%.3gx", r.goal)
	}
	if r.limit > 0 {
		goal = fmt.Sprintf("%.3g %s", r.limit, r.unit)
		if _, ok := value["gantryd"]; ok {
			verdict = reached(g <= r.limit)
		}
	}
	fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", r.what, text["dockerd"], text["gantryd"], ratio, goal, verdict)
}

func reached(ok bool) string {
	if ok {
		return "reached"
	}
	return "missed"
}

// figure has three significant digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// describe names an engine, its storage driver and its OCI runtime.
func describe(s *side) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := s.client.Info(ctx, client.InfoOptions{})
	if err != nil {
		return err.Error()
	}
	i := r.Info
	version := ""
	if out, err := exec.Command(i.DefaultRuntime, "--version").Output(); err == nil {
		version, _, _ = strings.Cut(string(out), "\n")
	}
	return fmt.Sprintf("version %s, storage driver %s, cgroup v%s, runtime %s (%s)", i.ServerVersion, i.Driver, i.CgroupVersion, i.DefaultRuntime, version)
}

func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func totalMemory() string {
	fields := strings.Fields(firstLine("/proc/meminfo")) // MemTotal: N kB
	if len(fields) < 2 {
		return "unknown"
	}
	var kb float64
	if _, err := fmt.Sscan(fields[1], &kb); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.0f GB", kb*1024/1e9)
}

func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}
