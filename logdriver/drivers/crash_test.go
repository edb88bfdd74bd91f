package drivers_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"gantry/internal/fault"
	"gantry/logdriver"
	"gantry/logdriver/drivers"
)

// crashEnv tells the test binary that it is to write the log "DRIVER PATH" until it is killed.
const crashEnv = "GANTRY_TEST_WRITE_LOG"

func TestMain(m *testing.M) {
	if target := os.Getenv(crashEnv); target != "" {
		writeUntilKilled(target)
	}
	os.Exit(m.Run())
}

func crashOptions() map[string]string {
	return map[string]string{"max-size": "1k", "max-file": "100", "compress": "true"}
}

func writeUntilKilled(target string) {
	driver, path, _ := strings.Cut(target, " ")
	w, err := drivers.Open(driver, logdriver.Info{Path: path, Options: crashOptions()})
	for i := 0; err == nil && i < 5000; i++ {
		err = errors.Join(w.Log(&logdriver.Message{Line: []byte(text(i)), Source: "stdout", Time: at(i)}), w.Flush())
	}
	panic(err) // it was not killed
}

// TestKillWhileRotating kills a writer at every boundary of a rotation: nothing that was flushed is lost or doubled, and the
// next writer goes on.
func TestKillWhileRotating(t *testing.T) {
	for _, point := range []string{
		"logfile.rotate.created", "logfile.rotate.shifted", "logfile.rotate.moved", "logfile.rotate.moved:5", "logfile.rotate.shifted:5",
		"logfile.compress.renamed", "logfile.compress.renamed:3",
	} {
		t.Run(point, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, l *log) {
				l.info.Options = crashOptions()
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), crashEnv+"="+l.driver+" "+l.info.Path, fault.Env+"="+point)
				err := cmd.Run()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the writer ended with %v", err)
				}
				lines := l.read(everything)
				if len(lines) == 0 {
					t.Fatal("nothing is left")
				}
				expect(t, lines, 0, len(lines))
				for n := range 30 {
					expect(t, l.read(logdriver.ReadConfig{Tail: n}), max(0, len(lines)-n), len(lines))
				}
				l.n = len(lines)
				f := l.follow(t.Context(), logdriver.ReadConfig{Tail: -1})
				l.write(100)
				f.expect(0, l.n)
				l.settled(compressed)
				expect(t, l.read(everything), 0, l.n)
				l.close()
				f.expectEnd()
			})
		})
	}
}
