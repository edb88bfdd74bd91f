package drivers_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry/logdriver"

	"golang.org/x/sys/unix"
)

// follower reads a log in the background.
type follower struct {
	t     *testing.T
	lines chan string // closed when the sequence ends
	ended chan struct{}
}

// follow starts to read. The follower is at work when it has yielded a message.
func (l *log) follow(ctx context.Context, cfg logdriver.ReadConfig) *follower {
	f := &follower{t: l.t, lines: make(chan string, 1<<16), ended: make(chan struct{})}
	cfg.Follow, cfg.Ended = true, f.ended
	seq := l.reader().Read(ctx, cfg)
	go func() {
		defer close(f.lines)
		for m, err := range seq {
			if err != nil {
				l.t.Error(err)
				return
			}
			f.lines <- string(m.Line)
		}
	}()
	return f
}

// expect takes the messages from (inclusive) to (exclusive).
func (f *follower) expect(from, to int) {
	f.t.Helper()
	for i := from; i < to; i++ {
		select {
		case line, ok := <-f.lines:
			if !ok {
				f.t.Fatalf("it ends before message %d", i)
			}
			if line != text(i) {
				f.t.Fatalf("got %q, want %q", line, text(i))
			}
		case <-time.After(10 * time.Second):
			f.t.Fatalf("message %d does not come", i)
		}
	}
}

// expectEnd tells it that the writer is gone, and takes no further message.
func (f *follower) expectEnd() {
	f.t.Helper()
	close(f.ended)
	select {
	case line, ok := <-f.lines:
		if ok {
			f.t.Fatalf("got %q after the end", line)
		}
	case <-time.After(10 * time.Second):
		f.t.Fatal("it does not end")
	}
}

func TestFollow(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.write(3)
		f := l.follow(t.Context(), logdriver.ReadConfig{Tail: 2})
		f.expect(1, 3)
		for range 5 {
			l.write(2)
			f.expect(l.n-2, l.n)
		}
		l.close()
		f.expectEnd()
	})
}

func TestFollowLogThatIsNotThereYet(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		f := l.follow(t.Context(), logdriver.ReadConfig{Tail: -1})
		l.write(3)
		f.expect(0, 3)
		l.close()
		f.expectEnd()
	})
}

// TestFollowThroughRotations has a writer rotate and compress as fast as it can.
func TestFollowThroughRotations(t *testing.T) {
	const messages = 4000
	for _, compress := range []string{"false", "true"} {
		t.Run("compress="+compress, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, l *log) {
				l.option("max-size", "2k")
				l.option("max-file", "1000")
				l.option("compress", compress)
				l.write(1)
				f := l.follow(t.Context(), logdriver.ReadConfig{Tail: -1})
				second := l.follow(t.Context(), logdriver.ReadConfig{Tail: -1})
				for l.n < messages {
					l.write(7)
				}
				l.close()
				f.expect(0, l.n)
				f.expectEnd()
				second.expect(0, l.n)
				second.expectEnd()
				expect(t, l.read(everything), 0, l.n)
			})
		})
	}
}

// TestReadWhileRotating reads the whole log again and again: a snapshot has no hole and nothing twice.
func TestReadWhileRotating(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.option("max-size", "1k")
		l.option("max-file", "1000")
		l.option("compress", "true")
		l.write(1)
		over := make(chan struct{})
		defer func() { <-over }()
		go func() {
			defer close(over)
			for l.n < 1000 {
				l.write(3)
			}
		}()
		reader := &log{t: t, driver: l.driver, info: l.info}
		for last := 0; last < 1000; {
			lines := reader.read(everything)
			if len(lines) < last {
				t.Fatalf("got %d messages after %d", len(lines), last)
			}
			expect(t, lines, 0, len(lines))
			tail := reader.read(logdriver.ReadConfig{Tail: 50})
			if len(tail) == 0 {
				t.Fatal("no tail")
			}
			for i, line := range tail[1:] {
				if line <= tail[i] {
					t.Fatalf("%q follows %q", line, tail[i])
				}
			}
			last = len(lines)
		}
	})
}

func TestFollowAfterTruncation(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.write(5)
		f := l.follow(t.Context(), logdriver.ReadConfig{Tail: -1})
		f.expect(0, 5)
		if err := os.Truncate(l.current(), 0); err != nil {
			t.Fatal(err)
		}
		l.write(2)
		f.expect(5, 7)
		l.close()
		f.expectEnd()
	})
}

func TestFollowerNeverSeesHalfARecord(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.write(3)
		l.close()
		whole, err := os.ReadFile(l.current())
		if err != nil {
			t.Fatal(err)
		}
		third := len(whole) / 3
		if err := os.WriteFile(l.current(), whole[:third], 0o600); err != nil {
			t.Fatal(err)
		}
		f := l.follow(t.Context(), logdriver.ReadConfig{Tail: -1})
		f.expect(0, 1)
		out, err := os.OpenFile(l.current(), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		for _, b := range whole[third : len(whole)-1] {
			if _, err := out.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		f.expect(1, 2)
		if _, err := out.Write(whole[len(whole)-1:]); err != nil {
			t.Fatal(err)
		}
		f.expect(2, 3)
		f.expectEnd()
	})
}

func TestFollowUntil(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.write(3)
		f := l.follow(t.Context(), logdriver.ReadConfig{Tail: -1, Until: at(4)})
		f.expect(0, 3)
		if time.Now().After(at(4)) {
			// The bound is past: what is there is all.
			if line, ok := <-f.lines; ok {
				t.Errorf("got %q", line)
			}
			return
		}
		l.write(4)
		f.expect(3, 5)
		if line, ok := <-f.lines; ok {
			t.Errorf("got %q", line)
		}
	})
}

func TestFollowEndsWithItsContext(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		l.write(1)
		ctx, cancel := context.WithCancel(t.Context())
		f := l.follow(ctx, logdriver.ReadConfig{Tail: -1})
		f.expect(0, 1)
		cancel()
		if line, ok := <-f.lines; ok {
			t.Errorf("got %q", line)
		}
	})
}

// TestFullDisk fills a file system of its own: what fits stays whole, what was held back
// is written when there is room again.
func TestFullDisk(t *testing.T) {
	eachDriver(t, func(t *testing.T, l *log) {
		onSmallDisk(t, 1<<20, func(directory string) {
			ballast := filepath.Join(directory, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 960<<10), 0o600); err != nil {
				t.Fatal(err)
			}
			l.info.Path = filepath.Join(directory, filepath.Base(l.info.Path))
			l.option("compress", "false") // its goroutine would not see the mount
			l.open()
			var failed error
			for failed == nil {
				m := logdriver.Message{Line: []byte(text(l.n)), Source: "stdout", Time: at(l.n)}
				if failed = l.w.Log(&m); failed == nil {
					l.n++
				}
			}
			if !strings.Contains(failed.Error(), "no space left") {
				t.Fatal(failed)
			}
			lines := l.read(everything)
			expect(t, lines, 0, len(lines))
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if err := l.w.Flush(); err != nil {
				t.Fatal(err)
			}
			expect(t, l.read(everything), 0, l.n)
			l.close()
		})
	})
}

// onSmallDisk mounts a tmpfs that only this test's thread sees.
func onSmallDisk(t *testing.T, size int, test func(directory string)) {
	t.Helper()
	directory := t.TempDir()
	over := make(chan struct{})
	go func() {
		defer close(over)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			t.Errorf("making mounts private: %v", err)
			return
		}
		if err := unix.Mount("tmpfs", directory, "tmpfs", 0, "size="+strconv.Itoa(size)); err != nil {
			t.Errorf("mounting a tmpfs: %v", err)
			return
		}
		defer func() { _ = unix.Unmount(directory, unix.MNT_DETACH) }()
		test(directory)
	}()
	<-over
}
