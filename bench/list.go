package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/moby/moby/api/types/container"
)

// listRows ask what `ps -a` costs: the answer of the API, without the CLI's own time.
func listRows(n func(full, quick int) int) []row {
	return []row{
		listRow("ps-300", n(300, 100), n(31, 6)),
		listRow("ps-1000", n(1000, 200), n(31, 6)),
	}
}

func listRow(name string, count, rounds int) row {
	return row{
		name: name, what: fmt.Sprintf("`ps -a` with %d containers", count), unit: "ms", goal: 5, rounds: rounds,
		prepare: func(ctx context.Context, s *side) (func(), error) {
			ids := make([]string, count)
			err := many(count, func(i int) (err error) {
				ids[i], err = s.create(ctx, container.Config{Cmd: []string{"true"}}, container.HostConfig{})
				return err
			})
			var u undo
			u.add(func() error {
				return many(count, func(i int) error {
					if ids[i] == "" {
						return nil
					}
					return s.remove(ctx, ids[i])
				})
			})
			return u.run, err
		},
		once: func(ctx context.Context, s *side) (float64, error) {
			return timed(func() error { return get(ctx, s, "/containers/json?all=1") })
		},
	}
}

// get reads an answer of the API without looking at it.
func get(ctx context.Context, s *side, path string) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.engine.Socket())
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
