package drivers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gantry/logdriver"
)

// settled waits for the compressor: nothing else changes the files of a log that is not written to.
func (l *log) settled(done func(names []string) bool) {
	l.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		names := l.files()
		if done(names) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the files do not settle: %v", names)
		}
	}
}

// compressed reports whether every rotated file is.
func compressed(names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool {
		return strings.HasSuffix(n, ".1") || strings.HasSuffix(n, ".tmp.gz") || strings.HasSuffix(n, ".2") || strings.HasSuffix(n, ".3")
	})
}

func TestRotationKeepsTheNewestFiles(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "3")
		l.option("compress", "false")
		l.write(200)
		base := filepath.Base(l.current())
		if got, want := l.files(), []string{base, base + ".1", base + ".2"}; !slices.Equal(got, want) {
			t.Fatalf("files %v, want %v", got, want)
		}
		for _, name := range l.files() {
			info, err := os.Stat(filepath.Join(filepath.Dir(l.current()), name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > 1200 || info.Mode().Perm() != 0o640 {
				t.Errorf("%s has %d bytes and mode %v", name, info.Size(), info.Mode())
			}
		}
		lines := l.read(everything)
		if len(lines) < 15 {
			t.Fatalf("only %d messages are left", len(lines))
		}
		expect(t, lines, 200-len(lines), 200)
	})
}

func TestOneFileStartsAnew(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "1")
		l.option("compress", "false")
		l.write(100)
		if got := l.files(); len(got) != 1 {
			t.Errorf("files %v", got)
		}
		lines := l.read(everything)
		expect(t, lines, 100-len(lines), 100)
	})
}

func TestFewerFilesAfterReopening(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "6")
		l.option("compress", "false")
		l.write(200)
		l.close()
		l.option("max-file", "2")
		l.write(100)
		if got := l.files(); len(got) != 2 {
			t.Errorf("files %v", got)
		}
	})
}

func TestTailAcrossRotatedFiles(t *testing.T) {
	for _, compress := range []string{"false", "true"} {
		t.Run("compress="+compress, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, l *log) {
				l.option("max-size", "1k")
				l.option("max-file", "50")
				l.option("compress", compress)
				l.write(100)
				if compress == "true" {
					l.settled(compressed)
					if got := l.files(); !strings.HasSuffix(got[1], ".gz") {
						t.Fatalf("files %v", got)
					}
				}
				expect(t, l.read(everything), 0, 100)
				for n := 0; n <= 101; n++ {
					expect(t, l.read(logdriver.ReadConfig{Tail: n}), max(0, 100-n), 100)
				}
			})
		})
	}
}

func TestSinceAndUntil(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "50")
		l.option("compress", "false")
		l.write(100)
		for _, c := range []struct {
			cfg      logdriver.ReadConfig
			from, to int
		}{
			{logdriver.ReadConfig{Tail: -1, Since: at(40)}, 40, 100},
			{logdriver.ReadConfig{Tail: -1, Since: at(40).Add(1)}, 41, 100},
			{logdriver.ReadConfig{Tail: -1, Until: at(40)}, 0, 41},
			{logdriver.ReadConfig{Tail: -1, Since: at(40), Until: at(60)}, 40, 61},
			{logdriver.ReadConfig{Tail: 5, Since: at(40)}, 95, 100},
			{logdriver.ReadConfig{Tail: 70, Since: at(40)}, 40, 100},
			{logdriver.ReadConfig{Tail: 5, Until: at(60)}, 56, 61},
			{logdriver.ReadConfig{Tail: -1, Since: at(200)}, 0, 0},
			{logdriver.ReadConfig{Tail: -1, Until: at(-1)}, 0, 0},
		} {
			expect(t, l.read(c.cfg), c.from, c.to)
		}
	})
}

// TestOldSegmentsAreNotOpenedForSince makes the oldest segments unreadable: they must not matter.
func TestOldSegmentsAreNotReadForSince(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "50")
		l.option("compress", "false")
		l.write(100)
		oldest := ""
		for i := 1; ; i++ {
			name := fmt.Sprintf("%s.%d", l.current(), i)
			if _, err := os.Stat(name); err != nil {
				break
			}
			oldest = name
		}
		// As if it had been written to last long ago.
		if err := os.Chtimes(oldest, at(0), at(0)); err != nil {
			t.Fatal(err)
		}
		expect(t, l.read(logdriver.ReadConfig{Tail: -1, Since: at(90)}), 90, 100)
	})
}

func TestTornTailIsSkippedAndWritersGoOn(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.write(5)
		l.close()
		whole, err := os.ReadFile(l.current())
		if err != nil {
			t.Fatal(err)
		}
		// However much of the last record a crash leaves, and zeros instead of it, too.
		torn := [][]byte{append(slices.Clone(whole), make([]byte, 4096)...)}
		last := len(whole) / 5
		for cut := 1; cut < last; cut++ {
			torn = append(torn, whole[:len(whole)-cut])
		}
		for i, data := range torn {
			if err := os.WriteFile(l.current(), data, 0o600); err != nil {
				t.Fatal(err)
			}
			want := 4
			if i == 0 {
				want = 5
			}
			expect(t, l.read(everything), 0, want)
			expect(t, l.read(logdriver.ReadConfig{Tail: 2}), want-2, want)
			l.n = want
			if string(data) == string(whole[:len(whole)-1]) && l.driver == "json-file" {
				l.n = 5 // only the newline was missing, which the writer puts there
			}
			l.write(2)
			l.close()
			expect(t, l.read(everything), 0, l.n)
			expect(t, l.read(logdriver.ReadConfig{Tail: 3}), l.n-3, l.n)
			l.n = 5
		}
	})
}

func TestCompressionIsTakenUpByTheNextWriter(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "50")
		l.option("compress", "false")
		l.write(100)
		l.close()
		// What a crash in the middle leaves.
		if err := os.WriteFile(l.current()+".tmp.gz", []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		l.option("compress", "true")
		l.open()
		l.settled(compressed)
		expect(t, l.read(everything), 0, 100)
	})
}

func TestSegmentInBothFormsIsReadOnce(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "50")
		l.option("compress", "false")
		l.write(30)
		l.close()
		plain := l.current() + ".1"
		if err := os.Link(plain, l.current()+".kept"); err != nil {
			t.Fatal(err)
		}
		l.option("compress", "true")
		l.open()
		l.settled(compressed)
		l.close()
		if err := os.Link(l.current()+".kept", plain); err != nil {
			t.Fatal(err)
		}
		expect(t, l.read(everything), 0, 30)
		l.open() // removes the plain form
		l.settled(compressed)
		expect(t, l.read(everything), 0, 30)
	})
}

func TestDamagedCompressedSegmentIsLeftOut(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.write(10)
		if err := os.WriteFile(l.current()+".1.gz", []byte("no gzip"), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, l.read(everything), 0, 10)
		expect(t, l.read(logdriver.ReadConfig{Tail: 20}), 0, 10)
	})
}

func TestLogThatIsALinkIsRefused(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		target := filepath.Join(t.TempDir(), "passwd")
		if err := os.WriteFile(target, []byte("root"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(l.current()), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, l.current()); err != nil {
			t.Fatal(err)
		}
		if w, err := openDriver(l); err == nil {
			_ = w.Close()
			t.Error("a writer follows the link")
		}
		for range l.reader().Read(t.Context(), everything) {
			break
		}
		if data, err := os.ReadFile(target); err != nil || string(data) != "root" {
			t.Errorf("the target is %q, %v", data, err)
		}
	})
}

func TestTruncationFromOutsideMakesRoom(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "2")
		l.option("compress", "false")
		l.write(5)
		if err := os.Truncate(l.current(), 0); err != nil {
			t.Fatal(err)
		}
		l.write(5)
		expect(t, l.read(everything), 5, 10)
	})
}

func TestNonBlockingDropsWhatFindsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{t: t, driver: "json-file"}
		l.info = logdriver.Info{Path: filepath.Join(t.TempDir(), "x-json.log"), Options: map[string]string{"mode": "non-blocking", "max-buffer-size": "1k"}}
		l.write(100) // faster than anybody could take them
		synctest.Wait()
		l.close()
		lines := l.read(everything)
		if len(lines) == 0 || lines[0] != text(0) {
			t.Errorf("got %d messages", len(lines))
		}
		l.write(1)
		l.close()
		if after := l.read(everything); len(after) != len(lines)+1 {
			t.Errorf("got %d messages after %d and one more", len(after), len(lines))
		}
	})
}
