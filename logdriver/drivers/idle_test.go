package drivers_test

import (
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"gantry/logdriver"
	"gantry/logdriver/drivers"
)

// TestIdleWriterIsSmall opens many writers, uses and flushes each, and looks at what they keep.
func TestIdleWriterIsSmall(t *testing.T) {
	const writers, bound = 50, 2048 // bytes for each
	for _, driver := range []string{"json-file", "local"} {
		directory := t.TempDir()
		open := make([]logdriver.Writer, writers)
		before := heap()
		for i := range open {
			w, err := drivers.Open(driver, logdriver.Info{Path: filepath.Join(directory, strconv.Itoa(i))})
			if err != nil {
				t.Fatal(err)
			}
			open[i] = w
			for n := range 2000 {
				if err := w.Log(&logdriver.Message{Line: []byte(text(n)), Source: "stdout", Time: at(n)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		runtime.Gosched() // the compressors find nothing to do
		if each := (int64(heap()) - int64(before)) / writers; each > bound {
			t.Errorf("%s: an idle writer keeps %d bytes, more than %d", driver, each, bound)
		} else {
			t.Logf("%s: %d bytes", driver, each)
		}
		for _, w := range open {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // finalizers of the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
