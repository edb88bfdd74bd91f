package archive

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs fn on a thread that ends with it, so that fn may move the thread into other namespaces.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		if unix.Gettid() == unix.Getpid() {
			// The process's first thread cannot end, and is what /proc/self shows. While it waits, the next goroutine runs on another.
			done <- onThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
	}()
	return <-done
}
