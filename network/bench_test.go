package network

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
)

// BenchmarkPublish connects a container with so many ports, forwarded on both families or left to the firewall alone.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []uint16{10, 1000} {
		for _, noProxy := range []bool{false, true} {
			b.Run(fmt.Sprintf("ports=%d/proxy=%t", n, !noProxy), func(b *testing.B) { benchmarkPublish(b, n, noProxy) })
		}
	}
}

func benchmarkPublish(b *testing.B, n uint16, noProxy bool) {
	r := request(b, "many")
	for p := range n {
		port, _ := network.PortFrom(1000+p, network.TCP)
		r.Ports[port] = []network.PortBinding{{HostPort: fmt.Sprint(20000 + p)}}
	}
	l := benchLab(b, func(c *Config) { c.NoProxy = noProxy })
	var connecting time.Duration
	for b.Loop() {
		begun := time.Now()
		l.connect(b, r)
		connecting += time.Since(begun)
		l.disconnect(b, "many")
		l.background.Wait()
	}
	b.ReportMetric(float64(connecting.Microseconds())/float64(b.N), "µs/connect")
}

// BenchmarkTwentyAtATime is what containers that start and stop together see of one another: an operation is one of them,
// its removal included.
func BenchmarkTwentyAtATime(b *testing.B) {
	l := benchLab(b)
	var mu sync.Mutex // guards took
	var took []time.Duration
	var all sync.WaitGroup
	slots := make(chan struct{}, 20)
	for i := 0; b.Loop(); i++ {
		slots <- struct{}{}
		r := request(b, fmt.Sprint("c", i), fmt.Sprintf("%d:80/tcp", 20000+i%10000))
		all.Go(func() {
			defer func() { <-slots }()
			begun := time.Now()
			if _, err := l.Connect(b.Context(), r); err != nil {
				b.Error(err)
			}
			d := time.Since(begun)
			if err := l.Disconnect(b.Context(), r.ContainerID); err != nil {
				b.Error(err)
			}
			mu.Lock()
			took = append(took, d)
			mu.Unlock()
		})
	}
	all.Wait()
	l.background.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
}

// benchLab is a service that a benchmark has for itself.
func benchLab(b *testing.B, change ...func(*Config)) *lab {
	b.Helper()
	l := &lab{cfg: Config{Root: b.TempDir(), ExecRoot: b.TempDir(), Bridge: "bench0"}}
	for _, c := range change {
		c(&l.cfg)
	}
	addBridge(b, "bench0")
	l.open(b)
	b.Cleanup(func() {
		l.close(b)
		removeLink(b, "bench0")
	})
	return l
}
