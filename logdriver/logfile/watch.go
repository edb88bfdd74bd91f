package logfile

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pollEvery is how often a log is looked at where inotify is not to be had: its
	// instances are few (fs.inotify.max_user_instances) and shared by all of the host's users.
	pollEvery = 100 * time.Millisecond
	// lookEvery is for file systems that change without telling inotify.
	lookEvery = 2 * time.Second
)

// watcher tells when something about a log may have changed.
type watcher struct {
	changed chan struct{} // holds at most one notice
	ticker  *time.Ticker
	file    *os.File // of inotify; nil when it is polled
	reader  sync.WaitGroup
}

// watch watches the directory: a new segment shows there, and so does every write.
func watch(directory string) *watcher {
	w := &watcher{changed: make(chan struct{}, 1)}
	if w.listen(directory) {
		w.ticker = time.NewTicker(lookEvery)
	} else {
		w.ticker = time.NewTicker(pollEvery)
	}
	return w
}

func (w *watcher) listen(directory string) bool {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return false
	}
	const events = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, directory, events); err != nil {
		_ = unix.Close(fd)
		return false
	}
	w.file = os.NewFile(uintptr(fd), "inotify")
	w.reader.Go(func() {
		// What happened is of no interest, so that a queue that has overflowed is none either.
		buf := make([]byte, 16*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
		for {
			if _, err := w.file.Read(buf); err != nil {
				return
			}
			select {
			case w.changed <- struct{}{}:
			default:
			}
		}
	})
	return true
}

func (w *watcher) close() {
	w.ticker.Stop()
	if w.file != nil {
		_ = w.file.Close()
		w.reader.Wait()
	}
}
