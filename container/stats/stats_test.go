package stats

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func openFake(t *testing.T, files map[string]string) (*Service, *record.Container) {
	t.Helper()
	r := runningContainer()
	s := open(fakeHost(t, files), fakeContainers{containerID: r}.lookup, nil)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s, r
}

func TestSampleFromUnifiedGroups(t *testing.T) {
	s, _ := openFake(t, unifiedFiles())
	got, err := s.Sample(t.Context(), containerID, true)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + containerID + `","name":"/web","os_type":"linux","read":"0001-01-01T00:00:00Z",` +
		`"cpu_stats":{"cpu_usage":{"total_usage":5000000,"usage_in_kernelmode":2000000,"usage_in_usermode":3000000},` +
		`"system_cpu_usage":2800000000,"online_cpus":2,"throttling_data":{"periods":4,"throttled_periods":3,"throttled_time":2000}},` +
		`"memory_stats":{"usage":4096,"stats":{"anon":1024,"file":2048,"inactive_file":512},"failcnt":2,"limit":16777216},` +
		`"networks":{"eth0":{"rx_bytes":100,"rx_packets":2,"rx_errors":3,"rx_dropped":4,"tx_bytes":500,"tx_packets":6,"tx_errors":7,"tx_dropped":8}},` +
		`"pids_stats":{"current":3},"blkio_stats":{"io_service_bytes_recursive":[{"major":8,"minor":0,"op":"read","value":10},` +
		`{"major":8,"minor":0,"op":"write","value":20},{"major":254,"minor":1,"op":"read","value":0},{"major":254,"minor":1,"op":"write","value":5}],` +
		`"io_serviced_recursive":null,"io_queue_recursive":null,"io_service_time_recursive":null,"io_wait_time_recursive":null,` +
		`"io_merged_recursive":null,"io_time_recursive":null,"sectors_recursive":null}`
	compare(t, got, want)
}

func TestSampleFromLegacyGroups(t *testing.T) {
	s, _ := openFake(t, legacyFiles())
	got, err := s.Sample(t.Context(), containerID, true)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + containerID + `","name":"/web","os_type":"linux","read":"0001-01-01T00:00:00Z",` +
		`"cpu_stats":{"cpu_usage":{"total_usage":5000,"percpu_usage":[3000,2000],"usage_in_kernelmode":20000000,"usage_in_usermode":30000000},` +
		`"system_cpu_usage":2800000000,"online_cpus":2,"throttling_data":{"periods":4,"throttled_periods":3,"throttled_time":2}},` +
		`"memory_stats":{"usage":4096,"max_usage":8192,"stats":{"cache":100,"hierarchical_memory_limit":9223372036854771712,"rss":200,"total_cache":300},"failcnt":2,"limit":1048576},` +
		`"networks":{"eth0":{"rx_bytes":100,"rx_packets":2,"rx_errors":3,"rx_dropped":4,"tx_bytes":500,"tx_packets":6,"tx_errors":7,"tx_dropped":8}},` +
		`"pids_stats":{"current":3,"limit":100},"blkio_stats":{"io_service_bytes_recursive":[{"major":8,"minor":0,"op":"Read","value":10},` +
		`{"major":8,"minor":0,"op":"Write","value":20},{"major":8,"minor":0,"op":"Total","value":30}],` +
		`"io_serviced_recursive":[],"io_queue_recursive":[],"io_service_time_recursive":[],"io_wait_time_recursive":[],` +
		`"io_merged_recursive":[],"io_time_recursive":[],"sectors_recursive":[]}`
	compare(t, got, want)
}

// compare looks at the JSON up to the fields of Windows, and at the time by itself.
func compare(t *testing.T, got *container.StatsResponse, want string) {
	t.Helper()
	if time.Since(got.Read) > time.Minute {
		t.Errorf("read at %v", got.Read)
	}
	got.Read = time.Time{}
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) < len(want) || string(data[:len(want)]) != want {
		t.Errorf("\n got %s\nwant %s", data, want)
	}
}

func TestContainerThatDoesNotRunHasNames(t *testing.T) {
	s, r := openFake(t, unifiedFiles())
	r.Status, r.Pid = record.Exited, 0
	for _, oneShot := range []bool{true, false} {
		got, err := s.Sample(t.Context(), containerID, oneShot)
		if err != nil || got.ID != containerID || got.Name != "/web" || !got.Read.IsZero() || got.MemoryStats.Stats != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if _, err := s.Top(t.Context(), containerID, ""); !errdefs.IsConflict(err) || err.Error() != "container "+containerID+" is not running" {
		t.Errorf("top: %v", err)
	}
	r.Status = record.Restarting
	if _, err := s.Top(t.Context(), containerID, ""); !errdefs.IsConflict(err) {
		t.Errorf("top while it restarts: %v", err)
	}
	if _, err := s.Sample(t.Context(), "nobody", true); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Stream(t.Context(), "nobody"); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestHostNetworkIsNotTheContainers(t *testing.T) {
	h := fakeHost(t, unifiedFiles())
	h.netns = "net:[2]"
	if n := h.networks(7); n != nil {
		t.Errorf("got %v", n)
	}
}

func TestStreamSamplesEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openFake(t, unifiedFiles())
		defer func() { _ = s.Close(t.Context()) }()
		seq, err := s.Stream(t.Context(), containerID)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var last *container.StatsResponse
		n := 0
		for sample := range seq {
			if got, want := time.Since(start), time.Duration(n)*time.Second; got != want {
				t.Errorf("sample %d comes after %v, want %v", n, got, want)
			}
			if last == nil && (!sample.PreRead.IsZero() || sample.PreCPUStats.SystemUsage != 0) {
				t.Errorf("the first sample has one before it: %+v", sample.PreCPUStats)
			}
			if last != nil && (sample.PreRead != last.Read || sample.PreCPUStats.SystemUsage != last.CPUStats.SystemUsage) {
				t.Errorf("sample %d does not follow the one before it", n)
			}
			last = sample
			if n++; n == 4 {
				break
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.samplers) != 0 {
			t.Error("nobody reads, and it is still sampled")
		}
	})
}

func TestReadersShareASampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openFake(t, unifiedFiles())
		defer func() { _ = s.Close(t.Context()) }()
		ctx, cancel := context.WithCancel(t.Context())
		var reads [3][]time.Time
		var wg sync.WaitGroup
		for i := range reads {
			seq, err := s.Stream(ctx, containerID)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for sample := range seq {
					reads[i] = append(reads[i], sample.Read)
				}
			})
			synctest.Wait()
		}
		s.mu.Lock()
		if n := len(s.samplers); n != 1 {
			t.Errorf("%d samplers", n)
		}
		s.mu.Unlock()
		time.Sleep(3500 * time.Millisecond)
		cancel()
		wg.Wait()
		if len(reads[0]) != 4 || !slices.Equal(reads[0], reads[1]) || !slices.Equal(reads[0], reads[2]) {
			t.Errorf("got %v", reads)
		}
	})
}

func TestSampleHasTheSecondBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openFake(t, unifiedFiles())
		defer func() { _ = s.Close(t.Context()) }()
		got, err := s.Sample(t.Context(), containerID, false)
		if err != nil || got.Read.Sub(got.PreRead) != time.Second || got.PreCPUStats.SystemUsage == 0 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestStreamEndsWithTheContainerAndTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		r := runningContainer()
		s := open(fakeHost(t, unifiedFiles()), func(ref string) (*record.Container, error) {
			mu.Lock()
			defer mu.Unlock()
			return fakeContainers{containerID: r}.lookup(ref)
		}, nil)
		ends := func(end func()) {
			seq, err := s.Stream(t.Context(), containerID)
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(2500*time.Millisecond, end)
			n := 0
			for range seq {
				n++
			}
			if n != 3 {
				t.Errorf("%d samples, want 3", n)
			}
		}
		ends(func() {
			mu.Lock()
			defer mu.Unlock()
			r = nil
		})
		mu.Lock()
		r = runningContainer()
		mu.Unlock()
		ends(func() { _ = s.Close(context.Background()) })
		if seq, err := s.Stream(t.Context(), containerID); err == nil {
			for range seq {
				t.Error("a closed service samples")
			}
		}
	})
}

// TestRealProcess measures this process, in whatever group it is.
func TestRealProcess(t *testing.T) {
	h, err := openHost("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var sample container.StatsResponse
	if err := h.measure(os.Getpid(), "", &sample); err != nil {
		t.Skipf("this process is in no control group of its own: %v", err)
	}
	if sample.CPUStats.SystemUsage == 0 || sample.CPUStats.OnlineCPUs == 0 || sample.Networks != nil {
		t.Errorf("got %+v", sample)
	}
}
