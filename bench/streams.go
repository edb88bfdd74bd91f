package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// streamRows ask what stdio costs.
func streamRows(n func(full, quick int) int) []row {
	return []row{
		attachRow(n(301, 51)),
		logRow("json-file", n(96, 32), n(3, 1)),
		logRow("local", n(96, 32), n(3, 1)),
		readRow(n(96, 32), n(5, 2)),
	}
}

// attachRow asks how long a line takes to a container and back.
func attachRow(rounds int) row {
	conns := map[*side]client.HijackedResponse{}
	return row{
		name: "attach", what: "attach: one line to `cat` and back", unit: "ms", goal: 1, rounds: rounds,
		prepare: func(ctx context.Context, s *side) (func(), error) {
			var u undo
			id, err := s.create(ctx, container.Config{Cmd: []string{"cat"}, OpenStdin: true, Tty: true}, container.HostConfig{})
			if err != nil {
				return nil, err
			}
			u.add(func() error { return s.remove(ctx, id) })
			conn, err := s.client.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
			if err != nil {
				return u.run, err
			}
			u.add(func() error { conn.Close(); return nil })
			conns[s] = conn.HijackedResponse
			return u.run, s.start(ctx, id)
		},
		once: func(_ context.Context, s *side) (float64, error) {
			conn := conns[s]
			return timed(func() error {
				if _, err := io.WriteString(conn.Conn, "x\n"); err != nil {
					return err
				}
				for range 2 { // the terminal's echo, and cat's
					if _, err := conn.Reader.ReadString('\n'); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// lines is a script that writes so many MiB of lines of 80 bytes, from memory, as fast as they are taken, and
// "end" at last.
func lines(mib int) []string {
	const unit = 8 // MiB in /dev/shm, whose default size is 64
	return []string{"sh", "-c", fmt.Sprintf(
		"yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678 | head -c %d >/dev/shm/lines; "+
			"i=0; while [ $i -lt %d ]; do cat /dev/shm/lines; i=$((i+1)); done; echo end", unit<<20, mib/unit)}
}

// logRow asks how fast a container can write its log, until the last line can be read.
func logRow(driver string, mib, rounds int) row {
	return row{
		name: "log-" + driver, what: fmt.Sprintf("log throughput, %d MiB of lines, %s", mib, driver), unit: "MB/s", goal: 10, more: true, rounds: rounds,
		once: func(ctx context.Context, s *side) (float64, error) {
			ms, _, clean, err := writeLog(ctx, s, driver, mib)
			if clean != nil {
				clean()
			}
			return float64(mib<<20) / 1e6 / (ms / 1e3), err
		},
	}
}

// writeLog runs a container that fills its log, and returns how long it took and its ID.
func writeLog(ctx context.Context, s *side, driver string, mib int) (float64, string, func(), error) {
	logs := container.LogConfig{Type: driver, Config: map[string]string{"max-size": "1g"}}
	id, err := s.create(ctx, container.Config{Cmd: lines(mib)}, container.HostConfig{LogConfig: logs})
	if err != nil {
		return 0, "", nil, err
	}
	var u undo
	u.add(func() error { return s.remove(ctx, id) })
	next := s.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	ms, err := timed(func() error {
		if err := s.start(ctx, id); err != nil {
			return err
		}
		select {
		case <-next.Result:
			return awaitEnd(ctx, s, id)
		case err := <-next.Error:
			return err
		}
	})
	return ms, id, u.run, err
}

// awaitEnd returns when the last line of the log is "end". The container has exited: asking while it writes would measure
// the questions too, on a machine of few processors.
func awaitEnd(ctx context.Context, s *side, id string) error {
	for {
		r, err := s.client.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, Tail: "1"})
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil {
			return err
		}
		if bytes.HasSuffix(data, []byte("end\n")) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// readRow asks how fast `docker logs` reads a log.
func readRow(mib, rounds int) row {
	ids := map[*side]string{}
	return row{
		name: "log-read", what: fmt.Sprintf("reading a log of %d MiB, json-file", mib), unit: "MB/s", goal: 3, more: true, rounds: rounds,
		prepare: func(ctx context.Context, s *side) (func(), error) {
			_, id, clean, err := writeLog(ctx, s, "json-file", mib)
			ids[s] = id
			return clean, err
		},
		once: func(ctx context.Context, s *side) (float64, error) {
			var size int64
			ms, err := timed(func() error {
				r, err := s.client.ContainerLogs(ctx, ids[s], client.ContainerLogsOptions{ShowStdout: true})
				if err != nil {
					return err
				}
				defer r.Close()
				size, err = io.Copy(io.Discard, r)
				return err
			})
			return float64(size) / 1e6 / (ms / 1e3), err
		},
	}
}
