package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// apiGrace is how long requests under way may take when the daemon stops.
const apiGrace = 5 * time.Second

// signals are what an operator may send.
type signals struct{ end, reload, dump chan os.Signal }

func watchSignals() *signals {
	s := &signals{end: make(chan os.Signal, 3), reload: make(chan os.Signal, 1), dump: make(chan os.Signal, 1)}
	signal.Notify(s.end, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(s.reload, syscall.SIGHUP)
	signal.Notify(s.dump, syscall.SIGUSR1)
	signal.Ignore(syscall.SIGPIPE)
	return s
}

func (s *signals) stop() {
	for _, c := range []chan os.Signal{s.end, s.reload, s.dump} {
		signal.Stop(c)
	}
}

// dumpStacks writes the stacks of all goroutines to a file in dir.
func dumpStacks(dir string) (string, error) {
	buf := make([]byte, 1<<20)
	for len(buf) < 64<<20 {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	file := filepath.Join(dir, fmt.Sprintf("goroutine-stacks-%s.log", time.Now().UTC().Format("2006-01-02T150405Z")))
	return file, os.WriteFile(file, buf, 0o600)
}

// withGrace bounds the end of the API's requests. Its timer ends by itself.
func withGrace(ctx context.Context) context.Context {
	bounded, cancel := context.WithTimeout(ctx, apiGrace)
	context.AfterFunc(bounded, cancel)
	return bounded
}
