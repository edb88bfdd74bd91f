package task_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"

	"gantry/task"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func BenchmarkStartToExit(b *testing.B) {
	h := newHost(b)
	for b.Loop() {
		id := randomID(b)
		h.mustStart(h.spec(id, "exit 0"))
		h.exit()
		if err := h.Settled(context.Background(), id); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExec(b *testing.B) {
	h := newHost(b)
	id := randomID(b)
	h.mustStart(h.spec(id, "sleep 1000"))
	for b.Loop() {
		execID := randomID(b)
		_, err := h.Exec(context.Background(), id, execID, &specs.Process{Args: []string{"true"}, Cwd: "/", Env: []string{"PATH=/bin"}, Capabilities: &specs.LinuxCapabilities{}}, task.Process{})
		if err != nil {
			b.Fatal(err)
		}
		demultiplex(b, h.attach(id, execID, output()))
		<-h.execs
	}
}

func BenchmarkAttach(b *testing.B) {
	h := newHost(b)
	id := randomID(b)
	h.mustStart(h.spec(id, "sleep 1000"))
	for b.Loop() {
		if err := h.attach(id, "", output()).Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// lines makes a file in the container's root, of lines of 100 bytes, and returns its size.
func (h *host) lines(mebibytes int) int {
	line := []byte("a line of a log as programs write them, about one hundred bytes long, which is what is typical....\n")
	data := bytes.Repeat(line, (mebibytes<<20)/len(line))
	if err := os.WriteFile(h.rootfs+"/lines", data, 0o644); err != nil {
		h.Fatal(err)
	}
	return len(data)
}

func BenchmarkLogThroughput(b *testing.B) {
	h := newHost(b)
	size := 4 * h.lines(64)
	for b.Loop() {
		id := randomID(b)
		spec, path := h.logged(h.spec(id, "cat /lines /lines /lines /lines"))
		began := time.Now()
		h.mustStart(spec)
		h.exit()
		b.ReportMetric(float64(size)/1e6/time.Since(began).Seconds(), "MB/s")
		if st, err := os.Stat(path); err != nil || st.Size() < int64(size) {
			b.Fatalf("log: %v %v", st, err)
		}
		if err := os.Remove(path); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAttachThroughput(b *testing.B) {
	h := newHost(b)
	const size = 256 << 20
	for b.Loop() {
		id := randomID(b)
		if err := h.Prepare(context.Background(), id, task.Process{}); err != nil {
			b.Fatal(err)
		}
		stream := h.attach(id, "", output())
		began := time.Now()
		h.mustStart(h.spec(id, "dd if=/dev/zero bs=65536 count=4096 2>/dev/null"))
		n, err := io.Copy(io.Discard, stream)
		if err != nil || n < size {
			b.Fatal(n, err)
		}
		b.ReportMetric(float64(size)/1e6/time.Since(began).Seconds(), "MB/s")
		h.exit()
	}
}

// BenchmarkParallelStarts runs 20 containers at a time; the figure is per container.
func BenchmarkParallelStarts(b *testing.B) {
	h := newHost(b)
	b.SetParallelism(10) // of two processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := randomID(b)
			spec := h.spec(id, "exit 0")
			spec.OCI.Linux.Namespaces = spec.OCI.Linux.Namespaces[:4] // not the network's: the kernel takes those down one by one
			if _, err := h.start(spec); err != nil {
				b.Error(err)
				return
			}
			if err := h.Settled(context.Background(), id); err != nil {
				b.Error(err)
			}
		}
	})
	for range b.N {
		h.exit()
	}
}
